//! A directory with a server in it, and the programs that speak to it.

use netloom_control::ovsdb::{DatabaseFile, DatabaseHandle, OvsdbServer};
use netloom_proto::ovsdb::{OPEN_VSWITCH, Schema};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

static PLACES: AtomicU32 = AtomicU32::new(0);

/// A directory that goes when this does.
pub struct Place(PathBuf);

impl Place {
    pub fn new() -> Self {
        let number = PLACES.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("netloom-db-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// A program in this directory.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.0)
            .env("OVS_RUNDIR", &self.0)
            .env("OVS_LOGDIR", &self.0)
            .env("OVS_DBDIR", &self.0)
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program, arguments).output().unwrap()
    }

    /// What a program says; it must succeed.
    #[track_caller]
    pub fn say(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.run(program, arguments);
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{program} {arguments:?}: {}\n{out}\n{error}", output.status);
        out
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// Whether the programs are there.
pub fn installed(programs: &[&str]) -> bool {
    programs.iter().all(|program| {
        Command::new(program)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    })
}

/// Waits until something is so.
#[track_caller]
pub fn wait_for(what: &str, mut so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(Instant::now() < until, "{what} does not come about");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A running program that ends with this.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Our server with one database, in a file `db`, on a socket `db.sock`.
pub struct Served {
    pub server: OvsdbServer,
    pub place: Place,
}

impl Served {
    pub fn new(schema: &str) -> Self {
        let place = Place::new();
        let schema = Schema::parse(schema).unwrap();
        DatabaseFile::create(&place.path("db"), &schema).unwrap();
        Self::again(place)
    }

    pub fn open_vswitch() -> Self {
        Self::new(OPEN_VSWITCH)
    }

    /// Serves what is there.
    pub fn again(place: Place) -> Self {
        let server = OvsdbServer::start().unwrap();
        server.handle().add_file(&place.path("db")).unwrap();
        server.handle().add_remote(&format!("punix:{}", place.path("db.sock").display())).unwrap();
        Self { server, place }
    }

    pub fn handle(&self) -> &DatabaseHandle {
        self.server.handle()
    }

    pub fn target(&self) -> String {
        target(&self.place)
    }

    /// What `ovsdb-client` says.
    #[track_caller]
    pub fn client(&self, command: &str, arguments: &[&str]) -> String {
        let target = self.target();
        let mut all = command.split(' ').collect::<Vec<_>>();
        all.push(&target);
        all.extend(arguments);
        self.place.say("ovsdb-client", &all)
    }

    /// Ends the server; the files stay.
    pub fn stop(self) -> Place {
        self.server.stop();
        self.place
    }
}

pub fn target(place: &Place) -> String {
    format!("unix:{}", place.path("db.sock").display())
}

/// The real server with the same.
pub struct Real {
    _child: Running,
    pub place: Place,
}

impl Real {
    pub fn new(schema: &str) -> Self {
        let place = Place::new();
        place.write("schema", schema);
        place.say("ovsdb-tool", &["create", "db", "schema"]);
        let arguments = ["--remote=punix:db.sock", "--unixctl=ctl", "--no-chdir", "-vconsole:off", "db"];
        let child = Running(place.command("ovsdb-server", &arguments).spawn().unwrap());
        let socket = place.path("db.sock");
        wait_for("the real server", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
        Self { _child: child, place }
    }
}

/// UUIDs by the order in which they appear, so that texts can be compared.
pub fn anonymous(text: &str) -> String {
    let mut known: Vec<String> = Vec::new();
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let candidate = rest.get(..36).filter(|text| text.parse::<netloom_proto::ovsdb::Uuid>().is_ok());
        if let Some(uuid) = candidate {
            let number = known.iter().position(|one| one == uuid).unwrap_or_else(|| {
                known.push(uuid.to_owned());
                known.len() - 1
            });
            out.push_str(&format!("<{number}>"));
            rest = &rest[36..];
        } else {
            let first = rest.chars().next().unwrap();
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

pub fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}
