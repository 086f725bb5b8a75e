//! Makes the folder that the console is embedded from, so that a build without the console works
//! and a build after it takes the console in.

fn main() {
    let folder = std::path::Path::new("../../console/dist");
    if let Err(error) = std::fs::create_dir_all(folder) {
        println!("cargo::warning=cannot make `{}`: {error}", folder.display());
    }
    println!("cargo::rerun-if-changed={}", folder.display());
    println!("cargo::rerun-if-changed=build.rs");
}
