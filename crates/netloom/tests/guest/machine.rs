//! A small real machine: Debian's kernel and busybox under QEMU, whose shell the test types into.
//!
//! The kernel is the one that `tools/vm/vmrun` keeps; the initial file system is made here, of busybox and three modules.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a booted machine may take for a command.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the machine needs of this system.
pub struct Parts {
    kernel: PathBuf,
    modules: Vec<PathBuf>,
    busybox: PathBuf,
}

impl Parts {
    /// Finds them, or says what is missing.
    pub fn find() -> Result<Self, String> {
        let found = |path: &str| Path::new(path).exists();
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| found(path));
        let busybox = busybox.ok_or("busybox is not installed (package busybox-static)")?;
        let octets = std::fs::read(busybox).map_err(|error| error.to_string())?;
        // A program that names a loader needs libraries.
        if octets.windows(8).any(|window| window == b"/ld-linu") {
            return Err("busybox needs libraries; the one of package busybox-static does not".to_owned());
        }
        if Command::new("qemu-system-x86_64").arg("--version").output().is_err() {
            return Err("qemu-system-x86_64 is not installed".to_owned());
        }
        let cache = std::env::var_os("VMRUN_CACHE").map_or_else(|| "/tmp/vmrun-cache".into(), PathBuf::from);
        let none =
            || format!("there is no kernel in {}: `tools/vm/vmrun --setup` fetches one", cache.display());
        let kernel = cache.join("k/vmlinux");
        if !kernel.exists() {
            return Err(none());
        }
        let trees = std::fs::read_dir(cache.join("k/lib/modules")).map_err(|_| none())?;
        let tree = trees.filter_map(Result::ok).next().ok_or_else(none)?.path();
        // In the order in which they need each other.
        let modules = ["net/core/failover.ko", "drivers/net/net_failover.ko", "drivers/net/virtio_net.ko"];
        let modules: Vec<PathBuf> = modules.iter().map(|name| tree.join("kernel").join(name)).collect();
        match modules.iter().find(|module| !module.exists()) {
            Some(missing) => Err(format!("{} is missing", missing.display())),
            None => Ok(Self { kernel, modules, busybox: busybox.into() }),
        }
    }

    /// The version of QEMU.
    pub fn qemu_version() -> String {
        let output = Command::new("qemu-system-x86_64").arg("--version").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_once("version ").unwrap().1.split([' ', '(', '\n']).next().unwrap().to_owned()
    }

    /// The initial file system: a cpio archive in the new ASCII format (cpio(5)).
    fn file_system(&self) -> Vec<u8> {
        const DIRECTORY: u32 = 0o040_755;
        const PROGRAM: u32 = 0o100_755;
        let mut script = "#!/bin/busybox sh\n/bin/busybox --install -s /bin\nmount -t proc proc /proc\nmount -t sysfs sys /sys\nmount -t devtmpfs dev /dev\n".to_owned();
        let mut archive = Vec::new();
        for name in ["bin", "proc", "sys", "dev", "m"] {
            entry(&mut archive, name, DIRECTORY, &[]);
        }
        entry(&mut archive, "bin/busybox", PROGRAM, &std::fs::read(&self.busybox).unwrap());
        for module in &self.modules {
            let name = format!("m/{}", module.file_name().unwrap().to_str().unwrap());
            script.push_str(&format!("insmod /{name}\n"));
            entry(&mut archive, &name, PROGRAM, &std::fs::read(module).unwrap());
        }
        // What is typed is not shown again, and each command's end is told with its status.
        script.push_str("ip link set lo up\nstty -echo </dev/console\necho @@ready 0\nwhile read -r number line; do eval \"$line\"; echo \"@@$number $?\"; done\n");
        entry(&mut archive, "init", PROGRAM, script.as_bytes());
        entry(&mut archive, "TRAILER!!!", 0, &[]);
        archive
    }
}

fn entry(archive: &mut Vec<u8>, name: &str, mode: u32, octets: &[u8]) {
    let inode = archive.len();
    let (size, length) = (octets.len(), name.len() + 1);
    archive.extend(
        format!(
            "070701{inode:08x}{mode:08x}{:08x}{:08x}{:08x}{:08x}{size:08x}{:08x}{:08x}{:08x}{:08x}{length:08x}{:08x}",
            0, 0, 1, 0, 0, 0, 0, 0, 0
        )
        .bytes(),
    );
    archive.extend(name.bytes());
    archive.push(0);
    archive.resize(archive.len().next_multiple_of(4), 0);
    archive.extend(octets);
    archive.resize(archive.len().next_multiple_of(4), 0);
}

/// A running machine.
pub struct Machine {
    child: Child,
    console: Arc<Mutex<String>>,
    commands: u32,
}

impl Machine {
    /// Starts it on the networks that `arguments` name; `scratch` is for its initial file system.
    pub fn boot(parts: &Parts, arguments: &[String], scratch: &Path) -> Self {
        let initial = scratch.join("initial.cpio");
        std::fs::write(&initial, parts.file_system()).unwrap();
        let mut child = Command::new("qemu-system-x86_64")
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-smp", "2"])
            .args(["-machine", "q35,accel=tcg", "-cpu", "max", "-serial", "stdio"])
            .arg("-kernel")
            .arg(&parts.kernel)
            .arg("-initrd")
            .arg(&initial)
            .args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off nokaslr rdinit=/init"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let console = Arc::new(Mutex::new(String::new()));
        let (mut stdout, text) = (child.stdout.take().unwrap(), console.clone());
        std::thread::spawn(move || {
            let mut octets = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut octets) {
                text.lock().unwrap().push_str(&String::from_utf8_lossy(&octets[..count]));
            }
        });
        let mut machine = Self { child, console, commands: 0 };
        machine.wait("@@ready", PATIENCE);
        machine
    }

    /// Starts a command and gives its number.
    pub fn begin(&mut self, command: &str) -> u32 {
        self.commands += 1;
        let line = format!("{} {command}\n", self.commands);
        self.child.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
        self.commands
    }

    /// Waits for the end of a command, and gives its status and what was printed meanwhile.
    #[track_caller]
    pub fn end(&mut self, number: u32) -> (i32, String) {
        self.wait(&format!("@@{number}"), PATIENCE)
    }

    /// Runs a command.
    #[track_caller]
    pub fn run(&mut self, command: &str) -> (i32, String) {
        let number = self.begin(command);
        self.end(number)
    }

    /// Runs a command that must succeed, and gives what it printed.
    #[track_caller]
    pub fn must(&mut self, command: &str) -> String {
        let (status, text) = self.run(command);
        assert_eq!(status, 0, "{command}: {text}");
        text
    }

    #[track_caller]
    fn wait(&mut self, mark: &str, patience: Duration) -> (i32, String) {
        let began = Instant::now();
        loop {
            {
                let mut text = self.console.lock().unwrap();
                if let Some((before, rest)) = text.split_once(mark)
                    && let Some((status, rest)) = rest.split_once('\n')
                {
                    let found = (status.trim().parse().unwrap(), before.to_owned());
                    *text = rest.to_owned();
                    return found;
                }
                let ended = self.child.try_wait().unwrap();
                assert!(ended.is_none(), "the machine ended: {ended:?}\n{text}");
                assert!(began.elapsed() < patience, "the machine is silent after {mark}:\n{text}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
