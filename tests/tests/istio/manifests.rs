//! The resources in `istio/`, as users apply them; but for the places of the modules.

use std::fs;

use meshgate_e2e::paths;

/// The filters that have resources there.
pub const FILTERS: [&str; 4] = ["error-response", "api-key-quota", "dlp", "transform"];

/// The file of this name of each of these filters, with the modules of this build.
pub fn manifests(files: &[(&str, &str)]) -> String {
    let text = |(filter, file): &(&str, &str)| {
        let path = paths::workspace().join("istio").join(filter).join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        format!("---\n{}", text.lines().map(|line| here(line) + "\n").collect::<String>())
    };
    files.iter().map(text).collect()
}

/// A line with the module of this build in the place of one in a registry, or in a directory of the proxy.
fn here(line: &str) -> String {
    let (place, scheme, end) = if line.contains("url: oci://") {
        ("oci://", "file://", ':')
    } else if line.contains("filename: /") {
        ("/", "", '.')
    } else {
        return line.to_owned();
    };
    let (before, module) = line.split_once(place).unwrap();
    let module = module.rsplit('/').next().unwrap();
    let (module, _) = module.split_once(end).unwrap();
    let module = paths::module(&module.replace('-', "_")).unwrap();
    format!("{before}{scheme}{}", module.display())
}
