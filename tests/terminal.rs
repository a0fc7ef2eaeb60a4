//! The program on a real pseudo-terminal: what a user sees, and that the terminal comes back.

#![allow(clippy::unwrap_used)]

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

struct Terminal {
    parser: Arc<Mutex<vt100::Parser>>,
    keys: Box<dyn Write + Send>,
    master: Box<dyn MasterPty + Send>,
    child: Box<dyn Child + Send + Sync>,
}

impl Terminal {
    fn start(args: &[&str], rows: u16, cols: u16) -> Terminal {
        let pair = native_pty_system().openpty(PtySize { rows, cols, ..PtySize::default() }).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_firedrill"));
        command.args(args);
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "C");
        let child = pair.slave.spawn_command(command).unwrap();
        let parser = Arc::new(Mutex::new(vt100::Parser::new(rows, cols, 0)));
        let (mut output, screen) = (pair.master.try_clone_reader().unwrap(), Arc::clone(&parser));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut buffer) {
                screen.lock().unwrap().process(&buffer[..n]);
            }
        });
        let keys = pair.master.take_writer().unwrap();
        Terminal { parser, keys, master: pair.master, child }
    }
    fn screen(&self) -> String {
        self.parser.lock().unwrap().screen().contents()
    }
    /// Waits until the screen says so; a slow machine only makes this slow.
    fn shows(&self, text: &str) {
        let start = Instant::now();
        while !self.screen().contains(text) {
            assert!(start.elapsed() < Duration::from_secs(60), "never saw {text:?} on\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }
    fn resize(&self, rows: u16, cols: u16) {
        self.parser.lock().unwrap().screen_mut().set_size(rows, cols);
        self.master.resize(PtySize { rows, cols, ..PtySize::default() }).unwrap();
    }
    /// The program has ended in order and left the alternate screen.
    fn gave_back(mut self) {
        assert_eq!(self.child.wait().unwrap().exit_code(), 0);
        let start = Instant::now();
        while self.parser.lock().unwrap().screen().alternate_screen() {
            assert!(start.elapsed() < Duration::from_secs(60), "still on the alternate screen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
fn the_gallery_narrows_plays_and_comes_back() {
    let mut t = Terminal::start(&[], 24, 80);
    t.shows("Enter play");
    t.shows("any/link-flaps");
    t.press("master-power-off");
    t.shows("1 of ");
    t.press("\r");
    t.shows("space-time");
    t.shows("keepalived/master-power-off  t=0.000s");
    t.press("q");
    t.shows("only: master-power-off_");
    t.press("\u{1b}");
    t.gave_back();
}

#[test]
fn marks_are_stepped_forward_and_backward() {
    let mut t = Terminal::start(&["play", "keepalived/master-power-off"], 24, 80);
    t.shows("t=0.000s");
    t.press("]");
    t.shows("t=3.414s");
    t.press("]");
    t.shows("t=30.000s");
    t.shows("power lost");
    t.press("[");
    t.shows("t=3.414s");
    t.press("G");
    t.shows("next: nothing more until the end");
    t.press("g");
    t.shows("t=0.000s");
    t.press("q");
    t.gave_back();
}

#[test]
fn a_resized_terminal_is_drawn_anew() {
    let mut t = Terminal::start(&["play", "keepalived/master-power-off"], 24, 80);
    t.press("G");
    t.shows("next: nothing more until the end");
    t.resize(50, 160);
    // Only a wide column has room for this.
    t.shows("BACKUP -> MASTER, takes 10.0.0.100");
    t.resize(24, 80);
    t.press("?");
    t.shows("B backup  F fault  - none;  V holds the address");
    t.shows("q quit");
    t.resize(10, 30);
    t.shows("too small");
    t.press("?");
    t.resize(24, 80);
    t.shows("space-time");
    t.press("q");
    t.gave_back();
}

#[test]
fn ctrl_c_gives_the_terminal_back() {
    let mut t = Terminal::start(&["play", "keepalived/master-power-off"], 24, 80);
    t.shows("space-time");
    t.press("\u{3}");
    t.gave_back();
    let mut t = Terminal::start(&[], 24, 80);
    t.shows("Enter play");
    t.press("\u{3}");
    t.gave_back();
}

#[test]
fn a_chinese_screen_is_aligned() {
    let mut t = Terminal::start(&["--lang", "zh", "play", "keepalived/master-power-off"], 24, 80);
    t.shows("时空图");
    t.press(":");
    t.shows("跳到（12.4s 或 50%）");
    t.press("33.03s\r");
    t.shows("因为 lb2 的免费 ARP");
    t.shows("下一个：38.024 lb2: 5 个免费 ARP");
    t.press("?");
    t.shows("撤销注入");
    // Every frame line ends in the last column, whatever the width of its characters.
    let screen = t.screen();
    let framed: Vec<&str> = screen.lines().filter(|l| l.starts_with('│')).collect();
    assert!(framed.len() > 15, "{screen}");
    for line in framed {
        assert_eq!(unicode_width::UnicodeWidthStr::width(line.trim_end()), 80, "{line}");
    }
    t.press("q");
    t.gave_back();
}

#[test]
fn ascii_reaches_the_gallery_and_the_drill_that_it_opens() {
    let mut t = Terminal::start(&["--ascii"], 24, 80);
    t.shows("+ drills ---");
    t.press("power-off\r");
    t.shows("+ space-time ---");
    assert!(t.screen().is_ascii(), "{}", t.screen());
    t.press("q");
    t.shows("+ drills ---");
    t.press("\u{3}");
    t.gave_back();
}
