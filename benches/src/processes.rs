//! The resources that processes use, as the kernel reports them in `/proc`.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

/// The unit of processor times in `/proc`: a hundredth of a second on every Linux that we know.
const TICK: Duration = Duration::from_millis(10);

/// The processor time of a process and all that it has started, living or waited for. Accurate to
/// 10 ms.
///
/// # Errors
///
/// When there is no such process.
pub(crate) fn cpu_time(root: u32) -> Result<Duration> {
    let family = family(root)?;
    Ok(TICK * family.iter().map(|(_, stat)| stat.ticks).sum::<u32>())
}

/// Bytes that a process and all that it has started have sent to the disk; those that have ended do
/// not count.
///
/// # Errors
///
/// When there is no such process.
pub(crate) fn written_bytes(root: u32) -> Result<u64> {
    let written = |pid: u32| -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("write_bytes:"))?;
        line.trim().parse().ok()
    };
    Ok(family(root)?
        .iter()
        .filter_map(|(pid, _)| written(*pid))
        .sum())
}

/// A process and all that it has started.
fn family(root: u32) -> Result<Vec<(u32, Stat)>> {
    let mut stats: HashMap<u32, Stat> = fs::read_dir("/proc")?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        // A process may end while we look.
        .filter_map(|pid| Some((pid, Stat::read(pid).ok()?)))
        .collect();
    ensure!(stats.contains_key(&root), "there is no process {root}");
    let parents: HashMap<_, _> = stats
        .iter()
        .map(|(pid, stat)| (*pid, stat.parent))
        .collect();
    stats.retain(|pid, _| {
        let mut pid = *pid;
        while pid != root {
            match parents.get(&pid) {
                Some(parent) => pid = *parent,
                None => return false,
            }
        }
        true
    });
    Ok(stats.into_iter().collect())
}

/// The processor time of a process alone. Accurate to 10 ms.
///
/// # Errors
///
/// When there is no such process.
pub(crate) fn own_cpu_time(pid: u32) -> Result<Duration> {
    Ok(TICK * Stat::read(pid)?.own_ticks)
}

/// The memory of a process that is in RAM: now, and at most since it started. In bytes.
///
/// # Errors
///
/// When there is no such process.
pub(crate) fn resident_bytes(pid: u32) -> Result<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| -> Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next());
        Ok(kib
            .with_context(|| format!("process {pid} has no {name}"))?
            .parse::<u64>()?
            * 1024)
    };
    Ok((field("VmRSS:")?, field("VmHWM:")?))
}

/// The parent of a process.
///
/// # Errors
///
/// When there is no such process.
pub(crate) fn parent(pid: u32) -> Result<u32> {
    Ok(Stat::read(pid)?.parent)
}

#[derive(Debug, PartialEq)]
struct Stat {
    parent: u32,
    own_ticks: u32,
    /// The time in user and kernel mode, including that of children that were waited for.
    ticks: u32,
}

impl Stat {
    fn read(pid: u32) -> Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        Self::parse(&text).with_context(|| format!("cannot read the figures of process {pid}"))
    }

    fn parse(text: &str) -> Option<Self> {
        // The name of the program comes first, in parentheses, and may hold anything.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u32>().ok();
        let own_ticks = number(11)? + number(12)?;
        Some(Self {
            parent: number(1)?,
            own_ticks,
            ticks: own_ticks + number(13)? + number(14)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_fields() {
        let text = "12 (a) b (c) S 7 12 12 0 -1 4194560 1 2 3 4 100 20 3 1 20 0 1 0 99 0 0";
        let stat = Stat {
            parent: 7,
            own_ticks: 120,
            ticks: 124,
        };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse("12 (a) S 7"), None);
    }

    #[test]
    fn this_process_uses_memory_and_has_a_parent() {
        let (now, most) = resident_bytes(std::process::id()).unwrap();
        assert!(now > 0 && most >= now);
        cpu_time(parent(std::process::id()).unwrap()).unwrap();
    }
}
