//! Finds libdpdk and compiles the shim, if the feature `dpdk` asks for it. Does nothing else.

use std::error::Error;

#[cfg(not(feature = "dpdk"))]
fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    Ok(())
}

#[cfg(feature = "dpdk")]
fn main() -> Result<(), Box<dyn Error>> {
    const SHIM: &str = "src/dpdk/shim.c";
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={SHIM}");
    let found = pkg_config::Config::new().cargo_metadata(false).atleast_version("21.11").probe("libdpdk").map_err(
        |error| format!("the feature `dpdk` needs the distribution's libdpdk (Debian: apt install libdpdk-dev): {error}"),
    )?;
    let mut build = cc::Build::new();
    build.file(SHIM).includes(&found.include_paths).flag("-include").flag("rte_config.h");
    // DPDK's own headers warn.
    build.warnings(false);
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("x86_64") {
        // What DPDK's headers take for granted.
        build.flag("-march=corei7");
    }
    build.try_compile("netloom_dpdk")?;
    for path in &found.link_paths {
        println!("cargo::rustc-link-search=native={}", path.display());
    }
    // Drivers are found at run time; of the libraries only these are called.
    for library in ["rte_ethdev", "rte_mbuf", "rte_mempool", "rte_ring", "rte_eal"] {
        println!("cargo::rustc-link-lib=dylib={library}");
    }
    Ok(())
}
