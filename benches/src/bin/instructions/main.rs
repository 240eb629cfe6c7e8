//! Work whose instructions are counted: `make instructions` runs this under callgrind and compares with a record.
//!
//! Callgrind counts between entering and leaving [`measured`] and writes what it counted each time. This program prints,
//! in the same order, the name of each workload and how many times it does its work. Nothing here is random but the
//! seeds of hash maps, which change the counts by a few thousandths at most.

mod workloads;

/// One piece of work. It is done once to warm up what is made on first use, then once to be counted.
struct Workload {
    name: &'static str,
    /// How many times the work is done in one call.
    repetitions: usize,
    work: Box<dyn FnMut()>,
}

/// Callgrind knows this function by its name; nothing else may have it in its own.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    work();
}

fn main() {
    for make in workloads::ALL {
        let mut workload = make();
        (workload.work)();
        measured(&mut workload.work);
        println!("{} {}", workload.name, workload.repetitions);
    }
}
