//! Privileges, memory and sysctls of the host.

use super::{Files, Finding, Severity};
use crate::realm::has_host_privileges;

pub(super) fn examine(files: &Files) -> Vec<Finding> {
    let mut findings = vec![privileges(), user_namespaces(files)];
    findings.extend(bridge_netfilter(files));
    findings.extend(tun(files));
    findings.extend(hugepages(files));
    findings.extend(btf(files));
    findings.extend(forwarding(files));
    findings.push(descriptors());
    findings
}

fn privileges() -> Finding {
    if has_host_privileges() {
        Finding::new("privileges", "host networking", "root", Severity::Ok)
            .evidence("effective capabilities hold CAP_SYS_ADMIN and CAP_NET_ADMIN")
    } else {
        Finding::new("privileges", "host networking", "none", Severity::Info)
            .evidence("effective capabilities lack CAP_SYS_ADMIN or CAP_NET_ADMIN")
            .fix("nothing is needed: networks are made in a user namespace of your own; run as root to reach the host's interfaces")
    }
}

fn user_namespaces(files: &Files) -> Finding {
    let restricted = files.read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
    let clone = files.read("/proc/sys/kernel/unprivileged_userns_clone");
    let most = files.read("/proc/sys/user/max_user_namespaces");
    let row = |state: &str, severity| {
        Finding::new("privileges", "user namespaces for ordinary users", state, severity)
    };
    if restricted.as_deref() == Some("1") {
        return row("restricted", Severity::Warning)
            .evidence("/proc/sys/kernel/apparmor_restrict_unprivileged_userns is 1")
            .fix("allow the program by an AppArmor profile with `userns,` or set kernel.apparmor_restrict_unprivileged_userns=0");
    }
    if clone.as_deref() == Some("0") {
        return row("forbidden", Severity::Warning)
            .evidence("/proc/sys/kernel/unprivileged_userns_clone is 0")
            .fix("sysctl -w kernel.unprivileged_userns_clone=1");
    }
    match most.as_deref() {
        None => row("absent", Severity::Warning)
            .evidence("/proc/sys/user/max_user_namespaces does not exist")
            .fix("a kernel with CONFIG_USER_NS=y"),
        Some("0") => row("forbidden", Severity::Warning)
            .evidence("/proc/sys/user/max_user_namespaces is 0")
            .fix("sysctl -w user.max_user_namespaces=15000"),
        Some(most) => {
            row("allowed", Severity::Ok).evidence(format!("/proc/sys/user/max_user_namespaces is {most}"))
        }
    }
}

fn bridge_netfilter(files: &Files) -> Option<Finding> {
    let value = files.read("/proc/sys/net/bridge/bridge-nf-call-iptables")?;
    let evidence = format!("/proc/sys/net/bridge/bridge-nf-call-iptables is {value}");
    Some(if value == "1" {
        Finding::new("foreign firewalls", "bridge netfilter", "on", Severity::Info).evidence(evidence).fix(
            "bridged packets of the host's own namespace pass its iptables rules; Netloom's bridges live in namespaces of their own and are not concerned",
        )
    } else {
        Finding::new("foreign firewalls", "bridge netfilter", "off", Severity::Ok).evidence(evidence)
    })
}

fn tun(files: &Files) -> Option<Finding> {
    Some(if files.exists("/dev/net/tun") {
        Finding::new("devices", "/dev/net/tun", "present", Severity::Ok).evidence("/dev/net/tun")
    } else {
        Finding::new("devices", "/dev/net/tun", "absent", Severity::Info)
            .evidence("/dev/net/tun does not exist")
            .fix("modprobe tun, or give the container the device; only tap and tun links need it")
    })
}

fn hugepages(files: &Files) -> Vec<Finding> {
    let base = "/sys/kernel/mm/hugepages";
    files
        .list(base)
        .into_iter()
        .map(|name| {
            let kib: u64 =
                name.trim_start_matches("hugepages-").trim_end_matches("kB").parse().unwrap_or_default();
            let count =
                |file: &str| files.read(&format!("{base}/{name}/{file}")).unwrap_or_else(|| "0".to_owned());
            let (total, free) = (count("nr_hugepages"), count("free_hugepages"));
            let row = Finding::new(
                "memory",
                format!("huge pages of {} MiB", kib / 1024),
                format!("{free} free of {total}"),
                if total == "0" { Severity::Info } else { Severity::Ok },
            )
            .evidence(format!("{base}/{name}/nr_hugepages"));
            if total == "0" {
                row.fix(format!(
                    "echo N > {base}/{name}/nr_hugepages (only the user-space data plane profits)"
                ))
            } else {
                row
            }
        })
        .collect()
}

fn btf(files: &Files) -> Option<Finding> {
    Some(if files.exists("/sys/kernel/btf/vmlinux") {
        Finding::new("eBPF", "BTF of the kernel", "present", Severity::Ok).evidence("/sys/kernel/btf/vmlinux")
    } else {
        Finding::new("eBPF", "BTF of the kernel", "absent", Severity::Info)
            .evidence("/sys/kernel/btf/vmlinux does not exist")
            .fix("a kernel with CONFIG_DEBUG_INFO_BTF=y")
    })
}

fn forwarding(files: &Files) -> Vec<Finding> {
    [("IPv4", "/proc/sys/net/ipv4/ip_forward"), ("IPv6", "/proc/sys/net/ipv6/conf/all/forwarding")]
        .into_iter()
        .filter_map(|(family, path)| {
            let value = files.read(path)?;
            let state = if value == "0" { "off" } else { "on" };
            Some(
                Finding::new("host", format!("{family} forwarding of the host"), state, Severity::Ok)
                    .evidence(format!("{path} is {value}")),
            )
        })
        .collect()
}

fn descriptors() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = limit.maximum.map_or_else(|| "unlimited".to_owned(), |most| most.to_string());
    let enough = limit.maximum.is_none_or(|most| most >= 4096);
    let row = Finding::new(
        "host",
        "open files",
        most.clone(),
        if enough { Severity::Ok } else { Severity::Warning },
    )
    .evidence(format!("hard limit of open files is {most}"));
    if enough {
        row
    } else {
        row.fix("each namespace takes a descriptor while it is worked on: ulimit -Hn 65536")
    }
}
