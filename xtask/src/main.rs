//! Everything a script would do: `cargo xtask run | test | soak | tidy | bench | record`.

mod bench;
mod console;
mod parts;
mod process;
mod record;
mod run;
mod schemathesis;
mod test;
mod tidy;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  run [-- ARGS]   build console and binary, start `quaywatch demo` (or `quaywatch ARGS`)
  test [FILTER]   set up what tests need, then check and test everything (or the tests that match)
  soak            the scenario tests with their full counts: kills, rotations, time
  tidy            the rules of the tree: layers, lock files, names
  bench [ARGS]    build as it is shipped, then run `quaywatch bench ARGS`
  console         build the web console only
  record          record real programs in real containers for the tests of profiles
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let result = match command.as_str() {
        "run" => run::run(&rest),
        "test" => test::test(&rest),
        "soak" => test::soak(&rest),
        "tidy" => tidy::tidy(),
        "bench" => bench::bench(&rest),
        "console" => console::build(),
        // Without a command it says only what the commands are.
        "record" if rest.is_empty() => record::record(&rest),
        "record" => parts::install_for_recording().and_then(|()| record::record(&rest)),
        _ => {
            process::say(HELP);
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            process::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
