//! Who holds a port that we wanted, for a message to people: best effort. Linux tells by `/proc`; elsewhere, and of other users' programs, nobody is named.

use std::fs;

/// The program that listens on `port` of this machine, as `nginx (process 12)`.
pub(super) fn of(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter().filter_map(|table| fs::read_to_string(table).ok());
    let sockets: Vec<String> = tables.flat_map(|table| listening(&table, port)).collect();
    if sockets.is_empty() {
        return None;
    }
    let programs = fs::read_dir("/proc").ok()?.flatten();
    programs.into_iter().find_map(|program| {
        let process: u32 = program.file_name().to_str()?.parse().ok()?;
        let mut open = fs::read_dir(program.path().join("fd")).ok()?.flatten();
        let is_wanted =
            |target: std::path::PathBuf| target.to_str().is_some_and(|name| sockets.iter().any(|s| s == name));
        open.any(|file| fs::read_link(file.path()).is_ok_and(is_wanted)).then(|| {
            let name = fs::read_to_string(program.path().join("comm")).unwrap_or_default();
            format!("{} (process {process})", name.trim())
        })
    })
}

/// Sockets of a table of the kernel's that listen on `port`, as links of `/proc/N/fd` name them.
fn listening(table: &str, port: u16) -> Vec<String> {
    const LISTENS: &str = "0A";
    let ending = format!(":{port:04X}");
    let socket = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (words.get(1)?, words.get(3)?, words.get(9)?);
        (local.ends_with(&ending) && *state == LISTENS).then(|| format!("socket:[{inode}]"))
    };
    table.lines().filter_map(socket).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_that_listen_on_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1B17 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1170620 1 x 100 0 0 10 0\n\
            1: 0100007F:1B17 0100007F:92B3 01 00000000:00000000 00:00000000 00000000     0        0 1170621 1 x 100 0 0 10 0\n\
            2: 0100007F:1B18 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1170622 1 x 100 0 0 10 0\n";
        assert_eq!(listening(table, 6935), ["socket:[1170620]"]);
    }

    #[test]
    fn a_program_of_ours_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = of(listener.local_addr().unwrap().port());
        if cfg!(target_os = "linux") {
            assert!(holder.unwrap().ends_with(&format!("(process {})", std::process::id())));
        } else {
            assert_eq!(holder, None);
        }
    }
}
