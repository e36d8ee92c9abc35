//! Messages of JSON-RPC 1.0 as the protocol uses them (RFC 7047, section 4).

use super::json::{Json, Object, write_string};
use std::sync::Arc;

/// A message.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Asks for an answer.
    Request {
        /// What for.
        method: Arc<str>,
        /// With what.
        params: Vec<Json>,
        /// Anything but null; the answer has the same.
        id: Json,
    },
    /// Tells something.
    Notification {
        /// What.
        method: Arc<str>,
        /// With what.
        params: Vec<Json>,
    },
    /// Answers.
    Reply {
        /// What came of it.
        result: Json,
        /// The request's.
        id: Json,
    },
    /// Refuses.
    Error {
        /// Why.
        error: Json,
        /// The request's.
        id: Json,
    },
}

/// A message that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotMessage(String);

impl Message {
    /// Understands an object.
    ///
    /// # Errors
    /// When it is no message.
    pub fn from_json(json: Json) -> Result<Self, NotMessage> {
        let fail = |what: &str| Err(NotMessage(what.to_owned()));
        let Json::Object(members) = &json else {
            return fail("message is not a JSON object");
        };
        let known = ["method", "params", "result", "error", "id"];
        if let Some((name, _)) = members.iter().find(|(name, _)| !known.contains(&&***name)) {
            return Err(NotMessage(format!("message has unexpected member \"{name}\"")));
        }
        let part = |name| members.get(name).filter(|value| **value != Json::Null).cloned();
        let method = match part("method") {
            None => None,
            Some(Json::String(method)) => Some(method),
            Some(_) => return fail("method is not a JSON string"),
        };
        let params = match part("params") {
            None => None,
            Some(Json::Array(params)) => Some(params),
            Some(_) => return fail("\"params\" must be JSON array"),
        };
        match (method, params, part("result"), part("error"), part("id")) {
            (Some(method), Some(params), None, None, Some(id)) => Ok(Self::Request { method, params, id }),
            (Some(method), Some(params), None, None, None) => Ok(Self::Notification { method, params }),
            (None, None, Some(result), None, Some(id)) => Ok(Self::Reply { result, id }),
            (None, None, None, Some(error), Some(id)) => Ok(Self::Error { error, id }),
            (Some(_), None, ..) => fail("request must have \"params\""),
            (Some(_), ..) => fail("request must not have \"result\" or \"error\""),
            (None, _, None, None, _) => fail("message has neither \"method\" nor \"result\" nor \"error\""),
            (None, ..) => fail("reply must have \"id\" and either \"result\" or \"error\""),
        }
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        match self {
            Self::Request { method, params, id } => {
                out.push_str("{\"id\":");
                id.write(&mut out);
                write_call(method, params, &mut out);
            }
            Self::Notification { method, params } => {
                out.push_str("{\"id\":null");
                write_call(method, params, &mut out);
            }
            Self::Reply { result, id } => {
                out.push_str("{\"error\":null,\"id\":");
                id.write(&mut out);
                out.push_str(",\"result\":");
                result.write(&mut out);
                out.push('}');
            }
            Self::Error { error, id } => {
                out.push_str("{\"error\":");
                error.write(&mut out);
                out.push_str(",\"id\":");
                id.write(&mut out);
                out.push_str(",\"result\":null}");
            }
        }
        out
    }
}

fn write_call(method: &str, params: &[Json], out: &mut String) {
    out.push_str(",\"method\":");
    write_string(method, out);
    out.push_str(",\"params\":[");
    for (index, param) in params.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        param.write(out);
    }
    out.push_str("]}");
}

/// An empty object, which is the answer of requests that only succeed.
#[must_use]
pub fn nothing() -> Json {
    Json::Object(Object::default())
}
