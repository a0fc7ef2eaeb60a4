//! Drawings as text: a small builder of SVG whose colours come from CSS classes, so that one drawing serves light, dark and paper.
//!
//! Coordinates are printed with one decimal. Everything that comes from outside is escaped.

use std::fmt::Write as _;

/// Colours and strokes of drawings and pages: light, dark by `prefers-color-scheme`, and light again on paper. The series were chosen to
/// be told apart by people who see few colours, and every series has a dash and a mark of its own as well.
pub const COLOURS: &str = "\
:root{--page:#f6f7f9;--card:#fff;--ink:#16191d;--soft:#555d66;--grid:#e4e7ea;--axis:#8b939c;--line:#d5d9de;--accent:#0b57a4;\
--s1:#0b63b0;--s2:#b34700;--s3:#00735c;--s4:#7d3c98;--s5:#7a5c00;--s6:#a3154a;--s7:#3d4754;--s8:#007085;\
--ok:#d9f0e3;--okink:#0c5a39;--warn:#fdecc0;--warnink:#664700;--bad:#f9d3cf;--badink:#8a1309;--box:#eef2f7;--boxline:#b9c4d0}
@media (prefers-color-scheme:dark){:root{--page:#101316;--card:#181c20;--ink:#e8eaed;--soft:#a3abb4;--grid:#2a3036;--axis:#6f7883;\
--line:#333a41;--accent:#7db7f0;--s1:#6fb3f2;--s2:#f2935a;--s3:#4fc7a5;--s4:#cf9be6;--s5:#dcbb55;--s6:#f58bb0;--s7:#b4bec9;--s8:#5cc6d8;\
--ok:#153d2b;--okink:#8fe0b6;--warn:#463609;--warnink:#f3d27a;--bad:#521b17;--badink:#ffb4ab;--box:#20262c;--boxline:#47525d}}
@media print{:root{--page:#fff;--card:#fff;--ink:#000;--soft:#444;--grid:#ddd;--axis:#777;--line:#bbb;--accent:#003f7d;\
--s1:#0b63b0;--s2:#b34700;--s3:#00735c;--s4:#7d3c98;--s5:#7a5c00;--s6:#a3154a;--s7:#3d4754;--s8:#007085;\
--ok:#e4f5eb;--okink:#0c5a39;--warn:#fdf1d2;--warnink:#664700;--bad:#fbe0dd;--badink:#8a1309;--box:#f3f5f8;--boxline:#98a3ae}}
svg text{font:12px system-ui,-apple-system,'Segoe UI','Noto Sans','Noto Sans CJK SC','PingFang SC','Microsoft YaHei',sans-serif;fill:var(--ink)}
svg .soft{fill:var(--soft)}svg .small{font-size:11px}svg .b{font-weight:600}svg .e{text-anchor:end}svg .m{text-anchor:middle}
svg .grid{stroke:var(--grid);stroke-width:1;fill:none}svg .axis{stroke:var(--axis);stroke-width:1;fill:none}
svg .box{fill:var(--box);stroke:var(--boxline);stroke-width:1}svg .card{fill:var(--card);stroke:var(--boxline);stroke-width:1}
svg .bus{stroke:var(--axis);stroke-width:2;fill:none;stroke-linecap:round}svg .wire{stroke:var(--axis);stroke-width:1.2;fill:none}svg .knot{fill:var(--axis)}
svg .ok{fill:var(--ok)}svg .warn{fill:var(--warn)}svg .bad{fill:var(--bad)}
svg .none{fill:none;stroke:var(--line);stroke-dasharray:3 3}
svg text.okink{fill:var(--okink)}svg text.warnink{fill:var(--warnink)}svg text.badink{fill:var(--badink)}
svg .hatch{stroke:var(--badink);stroke-width:1;opacity:.35}svg .dots{fill:var(--warnink);opacity:.35}
svg .fault{stroke:var(--badink);stroke-width:1.2;stroke-dasharray:4 3}svg .heal{stroke:var(--okink);stroke-width:1.2;stroke-dasharray:1 3}
svg .l{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
svg .l1{stroke:var(--s1)}svg .l2{stroke:var(--s2);stroke-dasharray:7 4}svg .l3{stroke:var(--s3);stroke-dasharray:2 4}\
svg .l4{stroke:var(--s4);stroke-dasharray:9 3 2 3}svg .l5{stroke:var(--s5);stroke-dasharray:12 4}svg .l6{stroke:var(--s6);stroke-dasharray:4 3}\
svg .l7{stroke:var(--s7);stroke-dasharray:2 2}svg .l8{stroke:var(--s8);stroke-dasharray:12 3 2 3 2 3}
svg .f1{fill:var(--s1)}svg .f2{fill:var(--s2)}svg .f3{fill:var(--s3)}svg .f4{fill:var(--s4)}svg .f5{fill:var(--s5)}svg .f6{fill:var(--s6)}\
svg .f7{fill:var(--s7)}svg .f8{fill:var(--s8)}svg text.on{fill:var(--card)}
";

/// How many series look different.
pub const SERIES: usize = 8;

/// Text that is safe between tags and in attributes.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(' '),
            // XML has no place for other control characters, escaped or not.
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// About how wide a text of 12 px is drawn.
pub(crate) fn width(text: &str) -> f64 {
    use unicode_width::UnicodeWidthStr as _;
    text.width() as f64 * 6.9
}

/// The beginning of a text that is drawn at most so wide.
pub(crate) fn fit(text: &str, wide: f64) -> String {
    if width(text) <= wide {
        return text.to_owned();
    }
    let mut out = String::new();
    for c in text.chars() {
        if width(&out) + 14.0 > wide {
            break;
        }
        out.push(c);
    }
    out + "\u{2026}"
}

/// A number with at most one decimal.
pub(crate) fn n(x: f64) -> String {
    let text = format!("{x:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A drawing.
#[derive(Clone, Debug)]
pub struct Svg {
    wide: f64,
    high: f64,
    title: String,
    body: String,
}

impl Svg {
    /// An empty drawing; `title` is what a screen reader says of it.
    pub fn new(wide: f64, high: f64, title: &str) -> Svg {
        Svg { wide, high, title: title.to_owned(), body: String::new() }
    }
    /// A text; `class` are classes of [`COLOURS`].
    pub fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        let _ = writeln!(
            self.body,
            "<text x=\"{}\" y=\"{}\" class=\"{class}\">{}</text>",
            n(x),
            n(y),
            escape(text)
        );
    }
    /// A line.
    pub fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        let _ = writeln!(
            self.body,
            "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" class=\"{class}\"/>",
            n(x1),
            n(y1),
            n(x2),
            n(y2)
        );
    }
    /// A rectangle with round corners; `tip` is shown when the mouse rests on it.
    pub fn rect(&mut self, (x, y): (f64, f64), (w, h): (f64, f64), class: &str, tip: &str) {
        let (x, y, w, h) = (n(x), n(y), n(w.max(0.5)), n(h.max(0.5)));
        let head =
            format!("<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"3\" class=\"{class}\"");
        let _ = if tip.is_empty() {
            writeln!(self.body, "{head}/>")
        } else {
            writeln!(self.body, "{head}><title>{}</title></rect>", escape(tip))
        };
    }
    /// A disc.
    pub fn disc(&mut self, x: f64, y: f64, r: f64, class: &str) {
        let _ =
            writeln!(self.body, "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" class=\"{class}\"/>", n(x), n(y), n(r));
    }
    /// A line through points.
    pub fn path(&mut self, points: &[(f64, f64)], class: &str) {
        let list: Vec<String> = points.iter().map(|p| format!("{},{}", n(p.0), n(p.1))).collect();
        let _ = writeln!(self.body, "<polyline points=\"{}\" class=\"{class}\"/>", list.join(" "));
    }
    /// Diagonal lines over a rectangle.
    pub fn hatch(&mut self, (x, y): (f64, f64), (w, h): (f64, f64)) {
        let mut k = 8.0;
        while k < w + h {
            let (x1, y1) = if k <= w { (x + k, y) } else { (x + w, y + k - w) };
            let (x2, y2) = if k <= h { (x, y + k) } else { (x + k - h, y + h) };
            self.line((x1, y1), (x2, y2), "hatch");
            k += 9.0;
        }
    }
    /// Dots over a rectangle.
    pub fn dots(&mut self, (x, y): (f64, f64), (w, h): (f64, f64)) {
        let mut at = (x + 6.0, y + 6.0);
        while at.1 < y + h - 2.0 {
            while at.0 < x + w - 2.0 {
                self.disc(at.0, at.1, 1.0, "dots");
                at.0 += 10.0;
            }
            at = (x + 6.0, at.1 + 10.0);
        }
    }
    fn open(&self, more: &str) -> String {
        format!(
            "<svg {more}viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" role=\"img\" aria-label=\"{t}\">\n<title>{t}</title>\n",
            w = n(self.wide),
            h = n(self.high),
            t = escape(&self.title)
        )
    }
    /// The drawing for a page that has [`COLOURS`].
    pub fn inline(&self) -> String {
        format!("{}{}</svg>\n", self.open(""), self.body)
    }
    /// The drawing as a file of its own.
    pub fn file(&self) -> String {
        let background = "<rect width=\"100%\" height=\"100%\" style=\"fill:var(--card)\"/>\n";
        let open = self.open("xmlns=\"http://www.w3.org/2000/svg\" ");
        format!("{open}<style>\n{COLOURS}</style>\n{background}{}</svg>\n", self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_text_holds_the_drawing_is_well_formed() {
        let mut s = Svg::new(100.0, 50.0, "a < b & \"c\"");
        s.text(1.25, 2.0, "b", "</text><script>alert('x')</script>\u{1}");
        s.rect((0.0, 0.0), (10.0, 10.0), "ok", "]]>&");
        let file = s.file();
        assert!(!file.contains("<script") && file.contains("&lt;script&gt;"), "{file}");
        assert!(file.contains("<text x=\"1.2\" y=\"2\"") || file.contains("<text x=\"1.3\" y=\"2\""));
        let mut reader = quick_xml::Reader::from_str(&file);
        loop {
            match reader.read_event() {
                Ok(quick_xml::events::Event::Eof) => break,
                Ok(_) => {}
                Err(e) => panic!("{e}"),
            }
        }
    }
    #[test]
    fn long_texts_are_cut() {
        assert_eq!(fit("short", 100.0), "short");
        assert!(width(&fit("a very long text indeed", 60.0)) <= 60.0);
    }
}
