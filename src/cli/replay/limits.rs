//! How many connections the system lets this process hold.

/// Raises the limit of open descriptors as far as an ordinary user may. Returns it, where it is known.
#[cfg(target_os = "linux")]
pub fn raise_descriptors() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        Err(_) => limit.current,
    }
}

/// Not known here.
#[cfg(not(target_os = "linux"))]
pub fn raise_descriptors() -> Option<u64> {
    None
}
