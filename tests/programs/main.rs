//! The example programs as real processes, with real clients and servers at the other end.
//!
//! A trial for each test and backend. One that needs what this machine does not have is ignored,
//! and says what that is.
//!
//! `cargo test` builds the programs. `cargo test --test programs` does not: after a change they
//! need a `cargo build --examples`.

mod chat_server;
mod command_line;
mod echo_client;
mod echo_server;
mod file_broker;
mod http_client;
mod many_cores;
mod needs;
mod porting;
mod process;
mod proxy;
mod run_child;
mod service;
mod smtp_sink;
mod status_page;
mod syslog_sink;
mod system_calls;
mod tls;
mod trials;

use libtest_mimic::Arguments;

fn main() {
    let arguments = Arguments::from_args();
    needs::raise_the_limit_of_open_files();
    let tests = [
        chat_server::TESTS,
        command_line::TESTS,
        echo_client::TESTS,
        echo_server::TESTS,
        file_broker::TESTS,
        http_client::TESTS,
        many_cores::TESTS,
        proxy::TESTS,
        run_child::TESTS,
        service::TESTS,
        smtp_sink::TESTS,
        status_page::TESTS,
        syslog_sink::TESTS,
        system_calls::TESTS,
        tls::TESTS,
    ];
    let mut trials = trials::on_each_backend(&tests.concat());
    trials.extend(porting::trials());
    libtest_mimic::run(&arguments, trials).exit();
}
