//! `mutate`: feeds damaged inputs to the readers of `overdub import` and says what broke. See README.md.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use overdub_fuzz::dice::Dice;
use overdub_fuzz::memory;
use overdub_fuzz::seeds::Seeds;
use overdub_fuzz::targets::{Bench, TARGETS, Target, named};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// An input that takes longer in CPU time is a failure.
const MOST_TIME: Duration = Duration::from_secs(1);
/// An input that takes longer on the clock hangs.
const HANGS: Duration = Duration::from_secs(60);
/// An input that allocates more is a failure.
const MOST_BYTES: usize = 300 << 20;
/// Failures that are told of one worker; more are counted.
const TOLD: u64 = 200;

const USAGE: &str =
    "usage: mutate [--inputs N] [--from SEED] [--jobs J] [--target NAME]... [--program OVERDUB] [FILE|FOLDER]...
       mutate --seed SEED --target NAME [--write FILE] [FILE|FOLDER]...   one input again";

#[derive(Clone, Debug, Default)]
struct Flags {
    inputs: u64,
    from: u64,
    jobs: u64,
    seed: Option<u64>,
    write: Option<PathBuf>,
    targets: Vec<String>,
    program: Option<PathBuf>,
    /// Set for a worker: where its numbers are.
    state: Option<PathBuf>,
    paths: Vec<PathBuf>,
}

fn flags() -> Option<Flags> {
    let mut flags = Flags { inputs: 100_000, from: 1, jobs: 1, ..Flags::default() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next()?.parse().ok();
        match argument.as_str() {
            "--inputs" => flags.inputs = number()?,
            "--from" => flags.from = number()?,
            "--jobs" => flags.jobs = number()?,
            "--seed" => flags.seed = Some(number()?),
            "--target" => flags.targets.push(arguments.next()?),
            "--program" => flags.program = Some(arguments.next()?.into()),
            "--write" => flags.write = Some(arguments.next()?.into()),
            "--state" => flags.state = Some(arguments.next()?.into()),
            other if other.starts_with("--") => return None,
            path => flags.paths.push(path.into()),
        }
    }
    flags.targets.iter().all(|name| named(name).is_some()).then_some(flags)
}

/// Numbers of one worker, kept in a file, so that they outlive it.
const FIELDS: usize = 8;
type Row = [u64; FIELDS];
const INPUTS: usize = 0;
const FAILED: usize = 1;
const SLOWEST: usize = 2;
const SLOWEST_SEED: usize = 3;
const PEAK: usize = 4;
const PEAK_SEED: usize = 5;
const TIME: usize = 6;
const FOUND: usize = 7;

struct State {
    file: File,
    rows: Vec<Row>,
    /// Target and seed of the input under way; what comes next.
    now: [u64; 2],
}

impl State {
    fn open(path: &PathBuf) -> std::io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = vec![0; 8 * (TARGETS.len() * FIELDS + 2)];
        let _ = file.read_exact_at(&mut bytes, 0);
        let numbers: Vec<u64> =
            bytes.chunks_exact(8).map(|b| u64::from_le_bytes(b.try_into().expect("eight bytes"))).collect();
        let rows = numbers[2..].chunks_exact(FIELDS).map(|row| row.try_into().expect("a row")).collect();
        Ok(Self { file, rows, now: [numbers[0], numbers[1]] })
    }

    fn save(&self) {
        let numbers = self.now.iter().chain(self.rows.iter().flatten());
        let bytes: Vec<u8> = numbers.flat_map(|number| number.to_le_bytes()).collect();
        self.file.write_all_at(&bytes, 0).expect("room for numbers");
    }
}

fn main() -> ExitCode {
    let Some(flags) = flags() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if let Some(seed) = flags.seed {
        return one(&flags, seed);
    }
    match flags.state.clone() {
        Some(state) => work(&flags, &state),
        None => lead(&flags),
    }
}

/// The input of a target and a seed.
fn input(target: &Target, seeds: &Seeds, seed: u64) -> Vec<u8> {
    let salt = target
        .name
        .bytes()
        .fold(seed, |hash, byte| hash.rotate_left(7) ^ u64::from(byte).wrapping_mul(0x0100_0000_01b3));
    (target.make)(seeds, &mut Dice::new(salt))
}

fn one(flags: &Flags, seed: u64) -> ExitCode {
    let seeds = Seeds::gather(&flags.paths);
    let mut bench = Bench::new().expect("a folder for files");
    bench.program.clone_from(&flags.program);
    for target in flags.targets.iter().filter_map(|name| named(name)) {
        let input = input(target, &seeds, seed);
        if let Some(path) = &flags.write {
            std::fs::write(path, &input).expect("room for the input");
        }
        println!("{} {seed}: {} bytes", target.name, input.len());
        let live = memory::begin();
        let start = Instant::now();
        (target.run)(&bench, &input);
        println!("passed in {:?}, {} KiB at most", start.elapsed(), (memory::peak() - live) >> 10);
    }
    ExitCode::SUCCESS
}

/// Starts workers, starts them again when an input kills them, adds up.
fn lead(flags: &Flags) -> ExitCode {
    let folder = std::env::temp_dir();
    let start = Instant::now();
    let states: Vec<PathBuf> =
        (0..flags.jobs.max(1)).map(|job| folder.join(format!("overdub-mutate-{}-{job}", std::process::id()))).collect();
    let share = flags.inputs / states.len() as u64;
    let mut died = 0;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..)
            .zip(&states)
            .map(|(job, path)| scope.spawn(move || watch(flags, path, flags.from + job * share, share)))
            .collect();
        died = workers.into_iter().map(|worker| worker.join().unwrap_or(1)).sum();
    });
    let mut sum: BTreeMap<usize, Row> = BTreeMap::new();
    for path in &states {
        let Ok(state) = State::open(path) else { continue };
        for (number, row) in state.rows.iter().enumerate() {
            let all = sum.entry(number).or_default();
            for field in [INPUTS, FAILED, TIME, FOUND] {
                all[field] += row[field];
            }
            for field in [SLOWEST, PEAK] {
                if row[field] > all[field] {
                    (all[field], all[field + 1]) = (row[field], row[field + 1]);
                }
            }
        }
        let _ = std::fs::remove_file(path);
    }
    println!(
        "{:<13} {:>9} {:>7} {:>10} {:>8} {:>20} {:>20}",
        "target", "inputs", "failed", "exchanges", "mean µs", "slowest ms (seed)", "peak KiB (seed)"
    );
    for (number, row) in sum.iter().filter(|(_, row)| row[INPUTS] > 0) {
        let slowest = format!("{:.1} ({})", row[SLOWEST] as f64 / 1e6, row[SLOWEST_SEED]);
        let peak = format!("{} ({})", row[PEAK] >> 10, row[PEAK_SEED]);
        let mean = row[TIME] / row[INPUTS] / 1000;
        let (name, found) = (TARGETS[*number].name, row[FOUND]);
        println!("{name:<13} {:>9} {:>7} {found:>10} {mean:>8} {slowest:>20} {peak:>20}", row[INPUTS], row[FAILED]);
    }
    let inputs: u64 = sum.values().map(|row| row[INPUTS]).sum();
    let failed: u64 = sum.values().map(|row| row[FAILED]).sum::<u64>() + died;
    println!("{inputs} inputs in {:.0} s, {failed} failures, {died} of them deaths", start.elapsed().as_secs_f64());
    ExitCode::from(u8::from(failed > 0))
}

/// One worker after another, until the share is done. How many died.
fn watch(flags: &Flags, state: &PathBuf, from: u64, share: u64) -> u64 {
    let (mut next, mut died) = (from, 0);
    while next < from + share {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command
            .arg("--state")
            .arg(state)
            .arg("--from")
            .arg(next.to_string())
            .arg("--inputs")
            .arg((from + share - next).to_string());
        for name in &flags.targets {
            command.arg("--target").arg(name);
        }
        if let Some(path) = &flags.program {
            command.arg("--program").arg(path);
        }
        let Ok(status) = command.args(&flags.paths).status() else { return died + 1 };
        let now = State::open(state).map(|state| state.now).unwrap_or([0, u64::MAX - 1]);
        if !status.success() {
            died += 1;
            println!(
                "FAILED --target {} --seed {}: the process ended with {status}",
                TARGETS[now[0] as usize].name, now[1]
            );
        }
        next = if status.success() { from + share } else { now[1] + 1 };
    }
    died
}

/// Nanoseconds on a processor.
struct Processor(Option<File>);

impl Processor {
    /// The time since then that was ours; the system counts it in steps of some milliseconds.
    fn spent(&self, since: Option<u64>, wall: Duration) -> u64 {
        let wall = wall.as_nanos() as u64;
        if wall < 20_000_000 { wall } else { self.now().zip(since).map_or(wall, |(end, start)| end - start) }
    }

    fn now(&self) -> Option<u64> {
        let mut text = [0; 64];
        let count = self.0.as_ref()?.read_at(&mut text, 0).ok()?;
        std::str::from_utf8(&text[..count]).ok()?.split(' ').next()?.parse().ok()
    }
}

fn work(flags: &Flags, path: &PathBuf) -> ExitCode {
    let seeds = Seeds::gather(&flags.paths);
    let mut bench = Bench::new().expect("a folder for files");
    bench.program.clone_from(&flags.program);
    let mut state = State::open(path).expect("a file for numbers");
    let chosen: Vec<usize> = (0..TARGETS.len())
        .filter(|&at| flags.targets.is_empty() || flags.targets.iter().any(|name| name == TARGETS[at].name))
        .flat_map(|at| vec![at; if flags.targets.is_empty() { TARGETS[at].weight } else { 1 }])
        .collect();
    let panic = remember_panics();
    let begun = watchdog();
    let processor = Processor(File::open("/proc/thread-self/schedstat").ok());
    let clock = Instant::now();
    let mut told = 0;
    for seed in flags.from..flags.from + flags.inputs {
        let number = *Dice::new(!seed).pick(&chosen);
        let target = &TARGETS[number];
        state.now = [number as u64, seed];
        state.save();
        let Ok(input) = std::panic::catch_unwind(|| input(target, &seeds, seed)) else {
            println!("no input could be made of --target {} --seed {seed}", target.name);
            continue;
        };
        let live = memory::begin();
        begun.store(clock.elapsed().as_millis() as u64 + 1, Ordering::Relaxed);
        let (start, wall) = (processor.now(), Instant::now());
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (target.run)(&bench, &input)));
        let time = processor.spent(start, wall.elapsed());
        begun.store(0, Ordering::Relaxed);
        let peak = memory::peak().saturating_sub(live) as u64;
        let what = match result {
            Err(_) => panic.lock().map(|mut text| std::mem::take(&mut *text)).unwrap_or_default(),
            Ok(()) if time > MOST_TIME.as_nanos() as u64 => format!("took {} ms", time / 1_000_000),
            Ok(()) if peak > MOST_BYTES as u64 => format!("took {} KiB", peak >> 10),
            Ok(()) => String::new(),
        };
        let row = &mut state.rows[number];
        row[INPUTS] += 1;
        row[TIME] += time;
        row[FOUND] += bench.exchanges.take();
        row[FAILED] += u64::from(!what.is_empty());
        if time > row[SLOWEST] {
            (row[SLOWEST], row[SLOWEST_SEED]) = (time, seed);
        }
        if peak > row[PEAK] {
            (row[PEAK], row[PEAK_SEED]) = (peak, seed);
        }
        if !what.is_empty() && told < TOLD {
            told += 1;
            println!("FAILED --target {} --seed {seed}: {what}", target.name);
        }
    }
    state.save();
    ExitCode::SUCCESS
}

/// What the last panic said goes here instead of to stderr.
fn remember_panics() -> Arc<Mutex<String>> {
    let last = Arc::new(Mutex::new(String::new()));
    let keep = Arc::clone(&last);
    std::panic::set_hook(Box::new(move |info| {
        if let Ok(mut text) = keep.lock() {
            *text = info.to_string().replace('\n', " ");
        }
    }));
    last
}

/// Ends the process when the input that began at the moment in here hangs.
fn watchdog() -> Arc<AtomicU64> {
    let begun = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&begun);
    std::thread::spawn(move || {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let now = seen.load(Ordering::Relaxed);
            if now != last || now == 0 {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() > HANGS {
                std::process::abort();
            }
        }
    });
    begun
}
