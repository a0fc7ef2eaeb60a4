//! Floor 0: what people read, in English and Simplified Chinese. The messages are in `en.ftl` and `zh.ftl`; a test compares their keys and
//! placeholders. The language is chosen once, before anything runs, and no decision depends on it. JSON and snapshots are English.

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource};
use std::fmt::Display;
use std::sync::{LazyLock, OnceLock};
use unic_langid::langid;

/// A language.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lang {
    /// English.
    En,
    /// Simplified Chinese.
    Zh,
}
impl Lang {
    /// The language of a tag such as `zh-CN`, `zh_CN.UTF-8` or `en`.
    pub fn of(tag: &str) -> Option<Lang> {
        let tag = tag.to_lowercase();
        let is = |code: &str| {
            tag == code || tag.starts_with(&format!("{code}-")) || tag.starts_with(&format!("{code}_"))
        };
        if is("zh") {
            Some(Lang::Zh)
        } else if is("en") || tag == "c" || tag == "posix" {
            Some(Lang::En)
        } else {
            None
        }
    }
}

static CHOSEN: OnceLock<Lang> = OnceLock::new();

/// Chooses the language. The first choice stands.
pub fn choose(lang: Lang) {
    let _ = CHOSEN.set(lang);
}
/// The language that was chosen; English if none was.
pub fn chosen() -> Lang {
    CHOSEN.get().copied().unwrap_or(Lang::En)
}

/// The messages of a language, as they are in the file.
pub const fn source(lang: Lang) -> &'static str {
    match lang {
        Lang::En => include_str!("en.ftl"),
        Lang::Zh => include_str!("zh.ftl"),
    }
}

fn bundle(lang: Lang) -> FluentBundle<FluentResource> {
    let id = match lang {
        Lang::En => langid!("en"),
        Lang::Zh => langid!("zh-CN"),
    };
    let mut bundle = FluentBundle::new_concurrent(vec![id]);
    // The marks that keep right-to-left text apart would make columns uneven.
    bundle.set_use_isolating(false);
    // A resource with mistakes comes with what could be read; a test looks for them.
    let resource = FluentResource::try_new(source(lang).to_owned()).unwrap_or_else(|(r, _)| r);
    bundle.add_resource_overriding(resource);
    bundle
}
static EN: LazyLock<FluentBundle<FluentResource>> = LazyLock::new(|| bundle(Lang::En));
static ZH: LazyLock<FluentBundle<FluentResource>> = LazyLock::new(|| bundle(Lang::Zh));

fn find(lang: Lang, key: &str, args: &[(&str, &dyn Display)]) -> Option<String> {
    let bundle = if lang == Lang::Zh { &ZH } else { &EN };
    let pattern = bundle.get_message(key)?.value()?;
    let mut values = FluentArgs::with_capacity(args.len());
    for (name, value) in args {
        values.set(*name, value.to_string());
    }
    Some(bundle.format_pattern(pattern, Some(&values), &mut Vec::new()).into_owned())
}

thread_local! {
    static QUIET: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}
/// Runs something whose words nobody will read: every message of this thread is empty meanwhile.
pub fn quietly<T>(run: impl FnOnce() -> T) -> T {
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            QUIET.set(self.0);
        }
    }
    let _back = Back(QUIET.replace(true));
    run()
}

/// A message in the chosen language. A key that a language lacks is told in English, and one that nobody has as itself.
pub fn text(key: &str, args: &[(&str, &dyn Display)]) -> String {
    if QUIET.get() {
        return String::new();
    }
    find(chosen(), key, args).or_else(|| find(Lang::En, key, args)).unwrap_or_else(|| key.to_owned())
}

/// What a shipped drill is about, in the chosen language; `written` is what its file says.
pub fn about(drill: &str, written: &str) -> String {
    match chosen() {
        Lang::En => written.to_owned(),
        lang => find(lang, &format!("drill-{}", drill.replace('/', "-")), &[])
            .unwrap_or_else(|| written.to_owned()),
    }
}

/// A message: `say!("vrrp-last", last = at, wait = wait)`.
#[macro_export]
macro_rules! say {
    ($key:expr $(, $name:ident = $value:expr)* $(,)?) => {
        $crate::lang::text($key, &[$((stringify!($name), &$value as &dyn ::std::fmt::Display)),*])
    };
}
