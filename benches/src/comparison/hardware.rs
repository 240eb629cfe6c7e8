//! On what a figure was measured.

use std::fs::read_to_string;
use std::path::Path;

/// Instructions of the processor that make a difference here.
const INSTRUCTIONS: [&str; 8] = ["aes", "vaes", "sha_ni", "bmi2", "avx2", "avx512f", "avx512ifma", "vpclmulqdq"];
/// What `statfs` says of a file system in memory.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// The machine.
#[derive(Debug, serde::Serialize)]
pub(super) struct Hardware {
    processor: String,
    instructions: Vec<String>,
    cores_available: usize,
    system: String,
    /// Whether the databases lie in memory, where a sync costs nothing.
    pub(super) database_in_memory: bool,
    /// Load averages of 1, 5 and 15 minutes when the run began: others disturb figures.
    load_at_start: String,
}

impl Hardware {
    /// This machine, with databases in `directory`.
    pub(super) fn of(directory: &Path) -> Self {
        let information = read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let line = information.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':')).map_or(String::new(), |(_, value)| value.trim().to_owned())
        };
        let flags = field("flags");
        let has = |instruction: &&&str| flags.split(' ').any(|flag| flag == **instruction);
        let text = |path: &str| read_to_string(path).unwrap_or_default().trim().to_owned();
        Self {
            processor: field("model name"),
            instructions: INSTRUCTIONS.iter().filter(has).map(ToString::to_string).collect(),
            cores_available: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            system: text("/proc/sys/kernel/osrelease"),
            database_in_memory: rustix::fs::statfs(directory).is_ok_and(|found| found.f_type as u64 == TMPFS_MAGIC),
            load_at_start: text("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" "),
        }
    }
}

impl std::fmt::Display for Hardware {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (cores, instructions) = (self.cores_available, self.instructions.join(" "));
        writeln!(f, "machine    {} ({instructions}), {cores} cores, Linux {}", self.processor, self.system)?;
        write!(f, "load       {} at the start", self.load_at_start)?;
        if self.database_in_memory {
            write!(f, "\ndatabases  in memory: syncs cost nothing here; choose another --directory")?;
        }
        Ok(())
    }
}
