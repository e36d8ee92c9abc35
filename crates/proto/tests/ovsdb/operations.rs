//! Operations one by one, and what clients read when they fail.

use crate::monitors::{ask, hear};
use netloom_proto::ovsdb::server::{Forgetful, Now, Server};
use netloom_proto::ovsdb::{Database, Json, Schema, UuidSource};
use std::sync::Arc;

const SCHEMA: &str = r#"{"name": "d", "tables": {
  "t": {"columns": {
     "n": {"type": "integer"},
     "s": {"type": "string"},
     "small": {"type": {"key": {"type": "integer", "minInteger": 1, "maxInteger": 3}, "min": 0, "max": 1}},
     "short": {"type": {"key": {"type": "string", "maxLength": 3}, "min": 0, "max": 1}},
     "two": {"type": {"key": "integer", "min": 1, "max": 2}},
     "map": {"type": {"key": "string", "value": "integer", "min": 0, "max": "unlimited"}},
     "ref": {"type": {"key": {"type": "uuid", "refTable": "t"}, "min": 0, "max": "unlimited"}},
     "weak": {"type": {"key": {"type": "uuid", "refTable": "t", "refType": "weak"}, "min": 0, "max": 1}},
     "still": {"type": "integer", "mutable": false}},
   "indexes": [["n", "s"]]},
  "must": {"columns": {"a": {"type": {"key": {"type": "uuid", "refTable": "t", "refType": "weak"}}}}},
  "positive": {"maxRows": 1, "columns": {"p": {"type": {"key": {"type": "integer", "minInteger": 1}}}}}}}"#;

const A: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const B: &str = "bbbbbbbb-0000-4000-8000-000000000002";

fn server() -> Server {
    let mut server = Server::new(UuidSource::new([5; 4]));
    let schema = Arc::new(Schema::parse(SCHEMA).unwrap());
    server.add_database(Database::new(schema), Box::new(Forgetful)).unwrap();
    server
}

fn transact(server: &mut Server, operations: &str) -> String {
    let id = server.open_session(false);
    let operations = operations.replace('Ⓐ', A).replace('Ⓑ', B);
    let heard =
        ask(server, id, &format!("{{\"id\":1,\"method\":\"transact\",\"params\":[\"d\",{operations}]}}"));
    server.close_session(id);
    heard.last().unwrap().get("result").unwrap().text()
}

/// Inserts two rows, then expects an answer to a transaction.
#[track_caller]
fn check(operations: &str, expected: &str) {
    let mut server = server();
    let insert = r#"{"op":"insert","table":"t","uuid":"Ⓐ","row":{"n":1,"s":"one","map":["map",[["k",1]]]}},
        {"op":"insert","table":"t","uuid":"Ⓑ","row":{"n":2,"s":"two","small":2,"two":["set",[1,2]]}}"#;
    transact(&mut server, insert);
    assert_eq!(transact(&mut server, operations), expected.replace('Ⓐ', A).replace('Ⓑ', B));
}

#[test]
fn selecting() {
    check(
        r#"{"op":"select","table":"t","where":[["n",">",1]],"columns":["s","two"]}"#,
        r#"[{"rows":[{"s":"two","two":["set",[1,2]]}]}]"#,
    );
    check(
        r#"{"op":"select","table":"t","where":[["n","==",1],["s","==","one"]],"columns":["_uuid"]}"#,
        r#"[{"rows":[{"_uuid":["uuid","Ⓐ"]}]}]"#,
    );
    check(
        r#"{"op":"select","table":"t","where":[],"columns":["n"],"sort":["s"]}"#,
        r#"[{"rows":[{"n":1},{"n":2}]}]"#,
    );
    check(
        r#"{"op":"select","table":"t","where":[["small","<",3]],"columns":["n"]}"#,
        r#"[{"rows":[{"n":2}]}]"#,
    );
    check(
        r#"{"op":"select","table":"t","where":[["map","includes",["map",[["k",1]]]]],"columns":["n"]}"#,
        r#"[{"rows":[{"n":1}]}]"#,
    );
    check(r#"{"op":"select","table":"t","where":[],"columns":["still"]}"#, r#"[{"rows":[{"still":0}]}]"#);
    check(
        r#"{"op":"select","table":"t","where":[["s","<","x"]]}"#,
        r#"[{"details":"Type mismatch: \"<\" operator may not be applied to column s of type string.","error":"syntax error","syntax":"[\"s\",\"<\",\"x\"]"}]"#,
    );
    check(
        r#"{"op":"select","table":"t","where":[["x","==",1]]}"#,
        r#"[{"details":"No column x in table t.","error":"unknown column","syntax":"[\"x\",\"==\",1]"}]"#,
    );
    check(
        r#"{"op":"select","table":"t","where":[["n","~",1]]}"#,
        r#"[{"details":"No function named ~.","error":"unknown function"}]"#,
    );
}

#[test]
fn inserting() {
    check(
        r#"{"op":"insert","table":"t","uuid":"Ⓐ","row":{}}"#,
        r#"[{"details":"This UUID would duplicate a UUID already present within the table or deleted within the same transaction.","error":"duplicate uuid","syntax":"\"Ⓐ\""}]"#,
    );
    check(
        r#"{"op":"insert","table":"positive","row":{}}"#,
        r#"[{"details":"0 is less than minimum allowed value 1","error":"constraint violation"}]"#,
    );
    check(
        r#"{"op":"insert","table":"t","row":{"small":4}}"#,
        r#"[{"details":"4 is not in the valid range 1 to 3 (inclusive)","error":"constraint violation"}]"#,
    );
    check(
        r#"{"op":"insert","table":"t","row":{"short":"äöüß"}}"#,
        r#"[{"details":"\"äöüß\" length 4 is greater than maximum allowed length 3","error":"constraint violation"}]"#,
    );
    check(
        r#"{"op":"insert","table":"t","row":{"two":["set",[]]}}"#,
        r#"[{"details":"set must have 1 to 2 members but 0 are present","error":"syntax error","syntax":"[\"set\",[]]"}]"#,
    );
    check(
        r#"{"op":"insert","table":"t","row":{"two":["set",[1,1]]}}"#,
        r#"[{"details":"set contains duplicate","error":"ovsdb error"}]"#,
    );
    check(
        r#"{"op":"insert","table":"t","row":{"n":"x"}}"#,
        r#"[{"details":"expected integer","error":"syntax error","syntax":"\"x\""}]"#,
    );
    check(
        r#"{"op":"insert","table":"t","row":{},"uuid-name":"0"}"#,
        r#"[{"details":"Parsing ovsdb operation 1 of 1 failed: Type mismatch for member 'uuid-name'.","error":"syntax error","syntax":"{\"op\":\"insert\",\"row\":{},\"table\":\"t\",\"uuid-name\":\"0\"}"}]"#,
    );
    check(
        r#"{"op":"insert","table":"t","row":{"ref":["named-uuid","0"]}}"#,
        r#"[{"details":"named-uuid string is not a valid <id>","error":"syntax error","syntax":"[\"named-uuid\",\"0\"]"}]"#,
    );
    check(
        r#"{"op":"insert","table":"x","row":{}}"#,
        r#"[{"details":"Parsing ovsdb operation 1 of 1 failed: No table named x.","error":"syntax error","syntax":"{\"op\":\"insert\",\"row\":{},\"table\":\"x\"}"}]"#,
    );
    check(
        r#"{"op":"jump"},{"op":"comment","comment":"x"}"#,
        r#"[{"details":"Parsing ovsdb operation 1 of 2 failed: No operation \"jump\"","error":"syntax error","syntax":"{\"op\":\"jump\"}"},null]"#,
    );
    check(
        r#"{"op":"comment"}"#,
        r#"[{"details":"Parsing ovsdb operation 1 of 1 failed: Required 'comment' member is missing.","error":"syntax error","syntax":"{\"op\":\"comment\"}"}]"#,
    );
}

#[test]
fn changing() {
    check(
        r#"{"op":"update","table":"t","where":[],"row":{"still":1}}"#,
        r#"[{"details":"Cannot update immutable column still in table t.","error":"constraint violation","syntax":"{\"op\":\"update\",\"row\":{\"still\":1},\"table\":\"t\",\"where\":[]}"}]"#,
    );
    check(
        r#"{"op":"mutate","table":"t","where":[],"mutations":[["still","+=",1]]}"#,
        r#"[{"details":"Cannot mutate immutable column still in table t.","error":"constraint violation","syntax":"[\"still\",\"+=\",1]"}]"#,
    );
    check(
        r#"{"op":"mutate","table":"t","where":[],"mutations":[["n","/=",0]]}"#,
        r#"[{"details":"Division by zero.","error":"domain error"}]"#,
    );
    check(
        r#"{"op":"mutate","table":"t","where":[],"mutations":[["n","*=",9223372036854775807]]}"#,
        r#"[{"details":"Result of \"*=\" operation is out of range.","error":"range error"}]"#,
    );
    check(
        r#"{"op":"mutate","table":"t","where":[["_uuid","==",["uuid","Ⓑ"]]],"mutations":[["two","*=",0]]}"#,
        r#"[{"details":"Result of \"*=\" operation contains duplicates.","error":"constraint violation"}]"#,
    );
    check(
        r#"{"op":"mutate","table":"t","where":[],"mutations":[["two","insert",["set",[7,8]]]]}"#,
        r#"[{"details":"Attempted to store 3 elements in set of 1 to 2 integers.","error":"constraint violation"}]"#,
    );
    check(
        r#"{"op":"mutate","table":"t","where":[],"mutations":[["map","delete","k"],["map","insert",["map",[["k",9],["l",2]]]]]},
           {"op":"select","table":"t","where":[],"columns":["map"]}"#,
        r#"[{"count":2},{"rows":[{"map":["map",[["k",9],["l",2]]]}]}]"#,
    );
    check(
        r#"{"op":"mutate","table":"t","where":[],"mutations":[["s","+=",1]]}"#,
        r#"[{"details":"Type mismatch: \"+=\" operator may not be applied to column s of type string.","error":"syntax error","syntax":"[\"s\",\"+=\",1]"}]"#,
    );
}

#[test]
fn ends_of_transactions() {
    check(
        r#"{"op":"insert","table":"t","uuid":"cccccccc-0000-4000-8000-000000000003","row":{"n":1,"s":"one"}}"#,
        "[{\"uuid\":[\"uuid\",\"cccccccc-0000-4000-8000-000000000003\"]},{\"details\":\"Transaction causes multiple rows in \
         \\\"t\\\" table to have identical values (1 and one) for index on columns \\\"n\\\" and \\\"s\\\".  First row, with \
         UUID Ⓐ, existed in the database before this transaction and was not modified by the transaction.  Second row, with \
         UUID cccccccc-0000-4000-8000-000000000003, was inserted by this transaction.\",\"error\":\"constraint \
         violation\"}]",
    );
    check(
        r#"{"op":"update","table":"t","where":[["_uuid","==",["uuid","Ⓐ"]]],"row":{"ref":["uuid","cccccccc-0000-4000-8000-000000000003"]}}"#,
        r#"[{"count":1},{"details":"Table t column ref row Ⓐ references nonexistent row cccccccc-0000-4000-8000-000000000003 in table t.","error":"referential integrity violation"}]"#,
    );
    check(
        r#"{"op":"update","table":"t","where":[["_uuid","==",["uuid","Ⓐ"]]],"row":{"ref":["uuid","Ⓑ"]}},
           {"op":"delete","table":"t","where":[["_uuid","==",["uuid","Ⓑ"]]]}"#,
        r#"[{"count":1},{"count":1},{"details":"cannot delete t row Ⓑ because of 1 remaining reference(s)","error":"referential integrity violation"}]"#,
    );
    check(
        r#"{"op":"insert","table":"positive","row":{"p":1},"uuid":"Ⓐ"},{"op":"insert","table":"positive","row":{"p":2},"uuid":"Ⓑ"}"#,
        r#"[{"uuid":["uuid","Ⓐ"]},{"uuid":["uuid","Ⓑ"]},{"details":"transaction causes \"positive\" table to contain 2 rows, greater than the schema-defined limit of 1 row(s)","error":"constraint violation"}]"#,
    );
    check(
        r#"{"op":"insert","table":"must","row":{},"uuid":"Ⓐ"}"#,
        r#"[{"uuid":["uuid","Ⓐ"]},{"details":"Weak reference column \"a\" in \"must\" row Ⓐ (inserted within this transaction) contained all-zeros UUID (probably as the default value for this column) but deleting this value caused a constraint volation because this column is not allowed to be empty.","error":"constraint violation"}]"#,
    );
    check(
        r#"{"op":"insert","table":"must","row":{"a":["uuid","Ⓑ"]},"uuid":"Ⓐ"},{"op":"delete","table":"t","where":[["n","==",2]]}"#,
        r#"[{"uuid":["uuid","Ⓐ"]},{"count":1},{"details":"Deletion of 1 weak reference(s) to deleted (or never-existing) rows from column \"a\" in \"must\" row Ⓐ (inserted within this transaction) caused this column to become empty, but constraints on this column disallow an empty column.","error":"constraint violation"}]"#,
    );
    check(
        r#"{"op":"delete","table":"t","where":[]},{"op":"abort"}"#,
        r#"[{"count":2},{"details":"aborted by request","error":"aborted"}]"#,
    );
    check(
        r#"{"op":"assert","lock":"l"}"#,
        r#"[{"details":"Asserted lock l not held.","error":"not owner"}]"#,
    );
}

#[test]
fn waiting() {
    check(
        r#"{"op":"wait","table":"t","where":[],"columns":["n"],"until":"==","rows":[{"n":2},{"n":1}],"timeout":0}"#,
        "[{}]",
    );
    check(
        r#"{"op":"wait","table":"t","where":[],"columns":["n"],"until":"==","rows":[{"n":2}],"timeout":0}"#,
        r#"[{"details":"\"where\" clause test failed","error":"timed out"}]"#,
    );
    check(
        r#"{"op":"wait","table":"t","where":[],"columns":["n"],"until":"=","rows":[],"timeout":0}"#,
        r#"[{"details":"\"until\" must be \"==\" or \"!=\"","error":"syntax error","syntax":"\"=\""}]"#,
    );
    let mut server = server();
    let (waiter, other) = (server.open_session(false), server.open_session(false));
    let wait = |id: u8, timeout: &str| {
        format!(
            r#"{{"id":{id},"method":"transact","params":["d",{{"op":"wait","table":"t","where":[],"columns":["n"],"until":"!=","rows":[]{timeout}}}]}}"#
        )
    };
    assert!(ask(&mut server, waiter, &wait(1, "")).is_empty());
    assert!(ask(&mut server, waiter, &wait(2, ",\"timeout\":500")).is_empty());
    assert!(ask(&mut server, waiter, &wait(3, ",\"timeout\":5000")).is_empty());
    let heard = ask(&mut server, waiter, &wait(3, ""));
    assert_eq!(
        heard[0].get("error").unwrap().get("details").unwrap().as_str(),
        Some("transact: duplicate request ID")
    );
    assert_eq!(server.next_deadline(), Some(500));
    server.run(Now { monotonic: 501, date: 0 });
    let heard = hear(&mut server, waiter);
    assert_eq!(
        heard[0].text(),
        r#"{"error":null,"id":2,"result":[{"details":"\"wait\" timed out after 501 ms","error":"timed out"}]}"#
    );
    let heard = ask(&mut server, waiter, r#"{"id":null,"method":"cancel","params":[3]}"#);
    assert_eq!(heard[0].text(), r#"{"error":"canceled","id":3,"result":null}"#);
    let insert = r#"{"id":1,"method":"transact","params":["d",{"op":"insert","table":"t","row":{"n":1}}]}"#;
    ask(&mut server, other, insert);
    assert_eq!(hear(&mut server, waiter)[0].text(), r#"{"error":null,"id":1,"result":[{}]}"#);
    assert_eq!(server.next_deadline(), None);
    // Nothing may be changed by who only reads, nor in the server's own database.
    let reader = server.open_session(true);
    let heard = ask(&mut server, reader, insert);
    let details = "insert operation not allowed when database server is in read only mode";
    let error = |heard: &[Json]| heard[0].get("result").unwrap().as_array().unwrap()[0].clone();
    assert_eq!(error(&heard).get("details").unwrap().as_str(), Some(details));
    let own =
        r#"{"id":1,"method":"transact","params":["_Server",{"op":"delete","table":"Database","where":[]}]}"#;
    let details = "delete operation not allowed on table in reserved database _Server";
    assert_eq!(error(&ask(&mut server, other, own)).get("details").unwrap().as_str(), Some(details));
}

#[test]
fn locking() {
    let mut server = server();
    let [a, b, c] = [(); 3].map(|()| server.open_session(false));
    let mut say = |id, method: &str| -> Vec<String> {
        let heard = ask(&mut server, id, &format!(r#"{{"id":1,"method":"{method}","params":["l"]}}"#));
        heard.iter().map(Json::text).collect()
    };
    let granted = |locked: bool| vec![format!(r#"{{"error":null,"id":1,"result":{{"locked":{locked}}}}}"#)];
    assert_eq!(say(a, "lock"), granted(true));
    assert!(say(a, "lock")[0].contains(r#"must issue \"unlock\" before new \"lock\""#));
    assert_eq!(say(b, "lock"), granted(false));
    assert_eq!(say(c, "steal"), granted(true));
    let assert_lock = r#"{"id":1,"method":"transact","params":["d",{"op":"assert","lock":"l"}]}"#;
    let stolen = r#"{"id":null,"method":"stolen","params":["l"]}"#;
    let heard: Vec<String> = ask(&mut server, a, assert_lock).iter().map(Json::text).collect();
    assert_eq!(heard[0], stolen);
    assert!(heard[1].contains("not owner"));
    assert_eq!(ask(&mut server, c, assert_lock)[0].text(), r#"{"error":null,"id":1,"result":[{}]}"#);
    // It comes back to who had it, then to who waits.
    server.close_session(c);
    let locked = r#"{"id":null,"method":"locked","params":["l"]}"#;
    assert_eq!(hear(&mut server, a)[0].text(), locked);
    ask(&mut server, a, r#"{"id":1,"method":"unlock","params":["l"]}"#);
    assert_eq!(hear(&mut server, b)[0].text(), locked);
    // A thief that is robbed does not get it back.
    let [d, e] = [(); 2].map(|()| server.open_session(false));
    ask(&mut server, d, r#"{"id":1,"method":"steal","params":["l"]}"#);
    ask(&mut server, e, r#"{"id":1,"method":"steal","params":["l"]}"#);
    assert_eq!(hear(&mut server, d)[0].text(), stolen);
    assert_eq!(server.locks_of(d)[2].len(), 1);
    hear(&mut server, b);
    ask(&mut server, e, r#"{"id":1,"method":"unlock","params":["l"]}"#);
    assert!(hear(&mut server, d).is_empty());
    assert_eq!(hear(&mut server, b)[0].text(), locked);
}
