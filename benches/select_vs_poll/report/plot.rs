//! The plots, as SVG that takes its colours from the page.

use super::{
    data::{Point, Series},
    findings::{full_title, thousands, time},
    stats::Figure,
};
use svg::{
    Document,
    node::element::{ClipPath, Definitions, Group, Line, Path, Rectangle, Style, Text, Title},
};

const THEME: &str = include_str!("theme.css");
const STYLE: &str = include_str!("plot.css");

/// The scenarios that the overview shows.
const OVERVIEW: [&str; 6] =
    ["ready-1", "ready-all", "sleep-low", "place-high", "place-scattered", "default-low"];

/// For a wide window, and for a narrow one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Width {
    Wide,
    Narrow,
}

/// The ratios of the most telling scenarios in one plot.
pub(crate) fn overview(series: &[Series], width: Width) -> Option<Document> {
    let shown: Vec<&Series> = OVERVIEW
        .iter()
        .filter_map(|id| series.iter().find(|series| series.scenario.id == *id))
        .filter(|series| !series.points.is_empty())
        .collect();
    let points = || shown.iter().flat_map(|series| &series.points);
    let (size, head, plot_height, per_row, prefix) = match width {
        Width::Wide => (860.0, 32.0, 330.0, 3, "wide"),
        Width::Narrow => (360.0, 50.0, 300.0, 1, "narrow"),
    };
    let (left, right, top) = (44.0, size - 26.0, head);
    let bottom = top + plot_height;
    let x = Log::of(points().map(|point| point.descriptors as f64), left, right)?;
    let y = ratio_axis(points().map(|point| point.found.ratio), top, bottom)?;
    let mut plot = Plot::new(format!("{prefix}-overview"), [left, right, top, bottom]);
    let beside = match width {
        Width::Wide => (right, "end", top - 12.0),
        Width::Narrow => (left, "start", top - 30.0),
    };
    plot.text("note", (left, beside.2), "start", "time of select for 1 of poll");
    plot.text("note", (beside.0, top - 12.0), beside.1, "above 1 poll is faster, below 1 select");
    plot.ratio_grid(&y, [left, right]);
    plot.size_ticks(&x, [top, bottom], true);
    for (index, series) in shown.iter().enumerate() {
        // All of the spread of all of them would hide the lines.
        let half = |point: &Point| point.found.ratio.quartiles;
        plot.band(&x, &y, series, &format!("line-{index}"), half);
    }
    plot.line("one", (left, y.at(1.0)), (right, y.at(1.0)));
    for (index, series) in shown.iter().enumerate() {
        plot.curve(&x, &y, series, &format!("line-{index}"), index, |point| point.found.ratio);
    }
    let rows = shown.len().div_ceil(per_row);
    for (index, series) in shown.iter().enumerate() {
        let column = (right - left) / per_row as f64;
        let x = left + column * (index % per_row) as f64;
        let y = bottom + 62.0 + 22.0 * (index / per_row) as f64;
        let class = format!("line-{index}");
        let dash = if index % 2 == 1 { "line dashed" } else { "line" };
        plot.line(&format!("{class} {dash}"), (x, y), (x + 30.0, y));
        plot.marker(&class, index, (x + 15.0, y));
        plot.text("", (x + 38.0, y + 4.5), "start", &full_title(&series.scenario));
    }
    let height = bottom + 62.0 + 22.0 * rows as f64;
    let found = shown
        .iter()
        .map(|series| format!(" {}: {}.", full_title(&series.scenario), series.finding));
    let about = "Time of select for 1 of poll, against the number of watched descriptors.";
    let about = about.to_owned() + &found.collect::<String>();
    Some(plot.document(size, height, &about))
}

/// The overview as a file of its own.
pub(crate) fn standalone(plot: Document) -> Document {
    plot.add(Style::new(format!("{THEME}{STYLE}")))
}

/// One scenario: the times of both above, their ratio below.
pub(crate) fn scenario(series: &Series) -> Option<Document> {
    let (size, left, right) = (360.0, 58.0, 334.0);
    let (top, middle, below, bottom) = (28.0, 188.0, 224.0, 310.0);
    let points = &series.points;
    let x = Log::of(points.iter().map(|point| point.descriptors as f64), left, right)?;
    let figures = points.iter().flat_map(|point| [point.poll, point.select]);
    let times = Log::of(figures.flat_map(|figure| [figure.least, figure.most]), middle, top)?;
    let mut plot = Plot::new(series.scenario.id.to_owned(), [left, right, top, middle]);
    let unit = series.scenario.group.unit();
    plot.text("note", (left, top - 12.0), "start", &format!("time of a {unit}"));
    plot.text("poll", (right - 68.0, top - 12.0), "end", "● poll");
    plot.text("select", (right, top - 12.0), "end", "□ select");
    for tick in times.ticks() {
        plot.line("grid", (left, times.at(tick)), (right, times.at(tick)));
        plot.text("tick", (left - 6.0, times.at(tick) + 4.0), "end", &decade(tick));
    }
    plot.size_ticks(&x, [top, middle], false);
    plot.band(&x, &times, series, "poll", |point| point.poll.spread());
    plot.band(&x, &times, series, "select", |point| point.select.spread());
    plot.curve(&x, &times, series, "poll", 0, |point| point.poll);
    plot.curve(&x, &times, series, "select", 1, |point| point.select);

    let y = ratio_axis(points.iter().map(|point| point.found.ratio), below, bottom)?;
    plot.clip_to("ratio", [left, right, below, bottom]);
    plot.text("note", (left, below - 8.0), "start", "select for 1 of poll");
    plot.ratio_grid(&y, [left, right]);
    plot.size_ticks(&x, [below, bottom], true);
    plot.band(&x, &y, series, "ratio", |point| point.found.ratio.spread());
    plot.line("one", (left, y.at(1.0)), (right, y.at(1.0)));
    plot.curve(&x, &y, series, "ratio", 0, |point| point.found.ratio);
    let about = format!(
        "{}: time of a {unit} with poll and with select, and their ratio, against the number of \
         watched descriptors. {}.",
        full_title(&series.scenario),
        series.finding
    );
    Some(plot.document(size, bottom + 44.0, &about))
}

/// An axis of ratios that shows at least a tenth around 1. Outliers of the spread may end outside.
fn ratio_axis(ratios: impl Iterator<Item = Figure>, top: f64, bottom: f64) -> Option<Log> {
    let medians = ratios.map(|ratio| ratio.median);
    let axis = Log::of(medians.chain([0.87, 1.15]), bottom, top)?;
    let margin = (axis.to / axis.from).powf(0.06);
    Some(Log { from: axis.from / margin, to: axis.to * margin, ..axis })
}

/// A logarithmic axis: values `from..=to` at the places `start..=end`.
#[derive(Debug, Clone, Copy)]
struct Log {
    from: f64,
    to: f64,
    start: f64,
    end: f64,
}

impl Log {
    /// An axis for these values; none for none.
    fn of(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Option<Self> {
        let (mut from, mut to) = (f64::MAX, f64::MIN);
        for value in values {
            (from, to) = (from.min(value), to.max(value));
        }
        if from > to {
            return None;
        }
        if from == to {
            (from, to) = (from / 2.0, to * 2.0);
        }
        Some(Self { from, to, start, end })
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value / self.from).ln() / (self.to / self.from).ln();
        self.start + share * (self.end - self.start)
    }

    fn has(&self, value: f64) -> bool {
        (self.from * 0.999..=self.to * 1.001).contains(&value)
    }

    /// The powers of ten on it; with what is between them where they are few.
    fn ticks(&self) -> Vec<f64> {
        let decades: Vec<f64> = self.decades().collect();
        if decades.len() > 1 {
            return decades;
        }
        let mut ticks: Vec<f64> = Vec::new();
        for digits in [1.0, 2.0, 5.0, 3.0, 1.5, 7.0, 2.5, 4.0] {
            let values = (-1..12).map(|power| digits * 10_f64.powi(power));
            for value in values.filter(|value| self.has(*value)) {
                if ticks.iter().all(|tick| (self.at(*tick) - self.at(value)).abs() >= 24.0) {
                    ticks.push(value);
                }
            }
        }
        ticks
    }

    /// The powers of ten on it.
    fn decades(&self) -> impl Iterator<Item = f64> {
        (-1..12).map(|power| 10_f64.powi(power)).filter(|value| self.has(*value))
    }
}

/// `1 µs` for 1000.
fn decade(nanoseconds: f64) -> String {
    time(nanoseconds).replace(".00", "").replace(".0", "").replace(".50", ".5")
}

/// A plot while it is drawn. What is drawn stays inside of the panel that was named last.
struct Plot {
    id: String,
    clip: String,
    body: Group,
    definitions: Definitions,
}

impl Plot {
    fn new(id: String, panel: [f64; 4]) -> Self {
        let (body, definitions) = (Group::new(), Definitions::new());
        let mut plot = Self { id, clip: String::new(), body, definitions };
        plot.clip_to("time", panel);
        plot
    }

    fn clip_to(&mut self, name: &str, [left, right, top, bottom]: [f64; 4]) {
        let id = format!("{}-{name}", self.id);
        let panel = rectangle([left - 4.0, right + 4.0, top - 4.0, bottom + 4.0]);
        let clip = ClipPath::new().set("id", id.as_str()).add(panel);
        self.definitions = std::mem::take(&mut self.definitions).add(clip);
        self.clip = format!("url(#{id})");
    }

    fn add(&mut self, node: impl Into<Box<dyn svg::Node>>) {
        self.body = std::mem::take(&mut self.body).add(node);
    }

    fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let line = Line::new().set("class", class);
        let line = line.set("x1", short(from.0)).set("y1", short(from.1));
        self.add(line.set("x2", short(to.0)).set("y2", short(to.1)));
    }

    fn text(&mut self, class: &str, at: (f64, f64), anchor: &str, text: &str) {
        let node = Text::new(text).set("x", short(at.0)).set("y", short(at.1));
        let node = node.set("class", class).set("text-anchor", anchor).set("font-size", 13);
        self.add(node);
    }

    /// The grid of sizes; the axis has its labels and title if it is the lowest.
    fn size_ticks(&mut self, x: &Log, [top, bottom]: [f64; 2], labelled: bool) {
        for tick in x.decades() {
            self.line("grid", (x.at(tick), top), (x.at(tick), bottom));
            if labelled {
                let label = thousands(tick as usize);
                self.text("tick", (x.at(tick), bottom + 18.0), "middle", &label);
            }
        }
        if labelled {
            let middle = f64::midpoint(x.start, x.end);
            self.text("note", (middle, bottom + 37.0), "middle", "watched descriptors");
        }
    }

    /// The grid of ratios, with a stripe for what counts as equal.
    fn ratio_grid(&mut self, y: &Log, [left, right]: [f64; 2]) {
        let equal = [left, right, y.at(1.1), y.at(1.0 / 1.1)];
        self.add(rectangle(equal).set("class", "equal"));
        let mut taken = vec![y.at(1.0)];
        for tick in [1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 0.5, 0.33, 1.5, 1.25, 0.8, 0.67, 1.1, 0.9] {
            let at = y.at(tick);
            if !y.has(tick) || tick != 1.0 && taken.iter().any(|other| (at - other).abs() < 15.0) {
                continue;
            }
            taken.push(at);
            self.line("grid", (left, at), (right, at));
            self.text("tick", (left - 6.0, at + 4.0), "end", &tick.to_string());
        }
    }

    /// The spread.
    fn band(
        &mut self,
        x: &Log,
        y: &Log,
        series: &Series,
        class: &str,
        range: impl Fn(&Point) -> [f64; 2],
    ) {
        let points = &series.points;
        let upper = points.iter().map(|point| place(x, y, point, range(point)[1]));
        let lower = points.iter().rev().map(|point| place(x, y, point, range(point)[0]));
        let around = upper.chain(lower).map(|(x, y)| format!("{x} {y}"));
        let around = format!("M{}Z", around.collect::<Vec<_>>().join("L"));
        let band = Path::new().set("class", "band").set("d", around);
        let clipped = Group::new().set("class", class).set("clip-path", self.clip.as_str());
        self.add(clipped.add(band));
    }

    /// A line through the medians.
    fn curve(
        &mut self,
        x: &Log,
        y: &Log,
        series: &Series,
        class: &str,
        shape: usize,
        figure: impl Fn(&Point) -> Figure,
    ) {
        let places = series.points.iter().map(|point| place(x, y, point, figure(point).median));
        let along = places.clone().map(|(x, y)| format!("{x} {y}")).collect::<Vec<_>>().join("L");
        let dash = if shape % 2 == 1 { "line dashed" } else { "line" };
        let line = Path::new().set("class", dash).set("d", format!("M{along}"));
        let mut group = Group::new().set("class", class).add(line);
        for (point, place) in series.points.iter().zip(places) {
            let ratio = point.found.ratio;
            let about = format!(
                "{} descriptors, {}: {:.2} [{:.2}-{:.2}], poll {}, select {}",
                thousands(point.descriptors),
                full_title(&series.scenario),
                ratio.median,
                ratio.least,
                ratio.most,
                time(point.poll.median),
                time(point.select.median),
            );
            group = group.add(marker(shape, place).set("class", "marker").add(Title::new(about)));
        }
        self.add(group);
    }

    fn marker(&mut self, class: &str, shape: usize, at: (f64, f64)) {
        let marker = marker(shape, at).set("class", "marker");
        self.add(Group::new().set("class", class).add(marker));
    }

    fn document(self, width: f64, height: f64, about: &str) -> Document {
        let paper = rectangle([0.0, width, 0.0, height]).set("class", "paper").set("rx", 6);
        Document::new()
            .set("viewBox", (0, 0, width, height))
            .set("role", "img")
            .set("aria-label", about)
            .add(self.definitions)
            .add(paper)
            .add(self.body)
    }
}

fn rectangle([left, right, top, bottom]: [f64; 4]) -> Rectangle {
    let rectangle = Rectangle::new().set("x", short(left)).set("y", short(top));
    rectangle.set("width", short(right - left)).set("height", short(bottom - top))
}

fn place(x: &Log, y: &Log, point: &Point, value: f64) -> (f64, f64) {
    (short(x.at(point.descriptors as f64)), short(y.at(value)))
}

/// A shape of its own for each line, so that colour is not all that tells them apart.
fn marker(shape: usize, (x, y): (f64, f64)) -> Path {
    let r = 4.0;
    let path = match shape {
        0 => format!("M{} {y}a{r} {r} 0 1 0 {} 0a{r} {r} 0 1 0 -{} 0Z", x - r, 2.0 * r, 2.0 * r),
        1 => format!("M{} {}h{}v{}h-{}Z", x - r, y - r, 2.0 * r, 2.0 * r, 2.0 * r),
        2 => format!("M{x} {}l{} {}h-{}Z", y - r - 1.0, r + 1.0, 2.0 * r, 2.0 * r + 2.0),
        3 => format!("M{x} {}l{r} {r}l-{r} {r}l-{r} -{r}Z", y - r),
        4 => format!("M{x} {}l{} -{}h-{}Z", y + r + 1.0, r + 1.0, 2.0 * r, 2.0 * r + 2.0),
        _ => {
            format!("M{} {y}h{}M{x} {}v{}", x - r - 1.0, 2.0 * r + 2.0, y - r - 1.0, 2.0 * r + 2.0)
        }
    };
    Path::new().set("d", path)
}

/// A tenth of a pixel is enough.
fn short(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
