//! On what a measurement was made: without it a figure says nothing.

use std::path::Path;

/// A machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Hardware {
    /// Model of the processor.
    pub processor: String,
    /// Logical processors that this process may use.
    pub processors: usize,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// Version of the kernel.
    pub kernel: String,
    /// Features of the processor that matter here.
    pub features: Vec<String>,
    /// Device and file system of the server's data, where it is on this machine.
    pub storage: Option<String>,
}

/// Features that make this program or the server faster.
const FEATURES: [&str; 9] =
    ["aes", "avx2", "avx512f", "avx512ifma", "avx512_vbmi2", "pclmulqdq", "sha_ni", "vaes", "vpclmulqdq"];

impl Hardware {
    /// This machine; `data` is where the server's data is.
    pub fn detect(data: Option<&Path>) -> Self {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let flags = field("flags");
        let has = |feature: &&str| flags.split(' ').any(|flag| flag == *feature);
        Self {
            processor: field("model name"),
            processors: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_bytes: memory_bytes(),
            kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            features: FEATURES.iter().filter(|feature| has(feature)).map(|feature| (*feature).to_owned()).collect(),
            storage: data.and_then(storage),
        }
    }
}

fn memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes: u64 = total.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    kibibytes * 1_024
}

/// Device and type of the file system that holds `path`: the mount with the longest path that leads to it.
fn storage(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (device, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
            path.starts_with(point).then(|| (point.len(), format!("{device} ({kind})")))
        })
        .max()
        .map(|(_, text)| text)
}

/// The commit that this program was built from; `+` where something was changed since.
pub fn commit() -> String {
    env!("LOADGEN_COMMIT").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described() {
        let hardware = Hardware::detect(Some(Path::new("/")));
        assert!(hardware.processors > 0 && hardware.memory_bytes > 0 && !hardware.kernel.is_empty());
        assert!(hardware.storage.is_some());
    }
}
