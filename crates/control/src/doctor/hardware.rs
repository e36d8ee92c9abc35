//! CPU virtualization flags, IOMMU, SR-IOV: from `/proc/cpuinfo` and sysfs.

use super::{Files, Finding, Severity};

pub(super) fn examine(files: &Files) -> Vec<Finding> {
    let mut findings = vec![virtualization(files), iommu(files)];
    findings.extend(nics(files));
    findings
}

/// Intel VT-x shows as `vmx`, AMD-V as `svm`.
fn virtualization(files: &Files) -> Finding {
    let info = files.read("/proc/cpuinfo").unwrap_or_default();
    let flags: Vec<&str> =
        info.lines().find(|line| line.starts_with("flags")).unwrap_or_default().split_whitespace().collect();
    let row = |state: &str, severity| Finding::new("hardware", "virtualization of the CPU", state, severity);
    if flags.contains(&"vmx") {
        row("Intel VT-x", Severity::Ok).evidence("flag vmx in /proc/cpuinfo")
    } else if flags.contains(&"svm") {
        row("AMD-V", Severity::Ok).evidence("flag svm in /proc/cpuinfo")
    } else {
        row("absent", Severity::Info)
            .evidence("neither vmx nor svm in /proc/cpuinfo")
            .fix("switch it on in the firmware, or nested virtualization in the hypervisor; virtual machines are emulated without it")
    }
}

fn iommu(files: &Files) -> Finding {
    let groups = files.list("/sys/kernel/iommu_groups").len();
    let units = files.list("/sys/class/iommu");
    if groups > 0 {
        return Finding::new("hardware", "IOMMU", format!("{groups} groups"), Severity::Ok)
            .evidence(format!("/sys/kernel/iommu_groups; units: {}", units.join(", ")));
    }
    let command_line = files.read("/proc/cmdline").unwrap_or_default();
    let vendor = files.read("/proc/cpuinfo").unwrap_or_default();
    let argument =
        if vendor.contains("AuthenticAMD") { "amd_iommu=on iommu=pt" } else { "intel_iommu=on iommu=pt" };
    let asked = command_line.contains("iommu=");
    Finding::new("hardware", "IOMMU", "absent", Severity::Info).evidence("/sys/kernel/iommu_groups is empty").fix(
        if asked {
            "the kernel was asked for it and found none: switch VT-d or AMD-Vi on in the firmware".to_owned()
        } else {
            format!(
                "add `{argument}` to GRUB_CMDLINE_LINUX in /etc/default/grub, run {}, reboot (needed only for passing devices to virtual machines)",
                if files.exists("/usr/sbin/update-grub") { "update-grub" } else { "grub2-mkconfig -o /boot/grub2/grub.cfg" }
            )
        },
    )
}

fn nics(files: &Files) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in files.list("/sys/class/net") {
        let device = format!("/sys/class/net/{name}/device");
        if !files.exists(&device) {
            continue;
        }
        let driver = files.link(&format!("{device}/driver")).unwrap_or_else(|| "no driver".to_owned());
        let speed = files
            .read(&format!("/sys/class/net/{name}/speed"))
            .and_then(|speed| speed.parse::<i64>().ok())
            .filter(|speed| *speed > 0)
            .map_or_else(String::new, |speed| format!(", {speed} Mbit/s"));
        findings.push(
            Finding::new("hardware", format!("NIC {name}"), format!("{driver}{speed}"), Severity::Ok)
                .evidence(format!("/sys/class/net/{name}")),
        );
        let Some(total) =
            files.read(&format!("{device}/sriov_totalvfs")).and_then(|text| text.parse::<u32>().ok())
        else {
            continue;
        };
        let used = files.read(&format!("{device}/sriov_numvfs")).unwrap_or_else(|| "0".to_owned());
        findings.push(
            Finding::new(
                "hardware",
                format!("SR-IOV of {name}"),
                format!("{used} of {total} VFs"),
                Severity::Ok,
            )
            .evidence(format!("{device}/sriov_numvfs")),
        );
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_fake_tree_is_read() {
        let root = std::env::temp_dir().join(format!("netloom-doctor-{}", std::process::id()));
        let put = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("proc/cpuinfo", "vendor_id : GenuineIntel\nflags : fpu vmx sse\n");
        put("proc/cmdline", "quiet");
        put("sys/class/net/eth0/device/sriov_totalvfs", "64\n");
        put("sys/class/net/eth0/device/sriov_numvfs", "4\n");
        put("sys/class/net/eth0/speed", "10000\n");
        put("sys/class/net/lo/speed", "0\n");
        let findings = examine(&Files::below(&root));
        fs::remove_dir_all(&root).unwrap();
        let state = |name: &str| findings.iter().find(|row| row.name == name).map(|row| row.state.clone());
        assert_eq!(state("virtualization of the CPU").as_deref(), Some("Intel VT-x"));
        assert_eq!(state("SR-IOV of eth0").as_deref(), Some("4 of 64 VFs"));
        assert_eq!(state("NIC eth0").as_deref(), Some("no driver, 10000 Mbit/s"));
        assert_eq!(state("IOMMU").as_deref(), Some("absent"));
        assert_eq!(state("NIC lo"), None);
        let fix = findings.iter().find(|row| row.name == "IOMMU").and_then(|row| row.fix.clone());
        assert!(fix.is_some_and(|fix| fix.contains("intel_iommu=on iommu=pt")));
    }
}
