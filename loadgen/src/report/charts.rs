//! Charts as SVG, drawn in the colours of the page: classes instead of colours, so that a page is right in light and in dark.

use std::ops::Range;

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Size of a chart in units of its own; pages scale it.
const SIZE: (u32, u32) = (760, 300);
/// Room for the names of the lines, where there are several.
const LEGEND_HEIGHT: u32 = 24;
/// Placeholders that become variables of the page: text, grid, and one colour per line.
const TEXT: RGBColor = RGBColor(1, 2, 3);
const GRID: RGBColor = RGBColor(1, 2, 4);
const LINES: [RGBColor; 6] =
    [RGBColor(1, 3, 1), RGBColor(1, 3, 2), RGBColor(1, 3, 3), RGBColor(1, 3, 4), RGBColor(1, 3, 5), RGBColor(1, 3, 6)];

/// One line of a chart.
pub struct Line {
    /// Shown in the legend.
    pub name: String,
    /// Its points.
    pub points: Vec<(f64, f64)>,
}

/// One bar of a chart.
pub struct Bar {
    /// Shown beside it.
    pub name: String,
    /// Its length.
    pub value: f64,
}

/// How an axis is labelled.
pub type Label = fn(f64) -> String;

/// The colours of the page in place of the placeholders.
fn coloured(svg: String) -> String {
    let mut svg = svg;
    let places = [(TEXT, "--text".to_owned()), (GRID, "--grid".to_owned())];
    let lines = LINES.iter().enumerate().map(|(index, colour)| (*colour, format!("--line-{}", index + 1)));
    for (RGBColor(red, green, blue), variable) in places.into_iter().chain(lines) {
        svg = svg.replace(&format!("#{red:02X}{green:02X}{blue:02X}"), &format!("var({variable})"));
    }
    // The page decides how large it is; its own size is only a proportion.
    svg.replacen(&format!("width=\"{}\" height=\"{}\"", SIZE.0, SIZE.1), "role=\"img\"", 1)
}

fn range(values: impl Iterator<Item = f64>) -> Option<Range<f64>> {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.filter(|value| value.is_finite()) {
        low = low.min(value);
        high = high.max(value);
    }
    if low > high {
        return None;
    }
    Some(if high > low { low..high } else { low..low + 1.0 })
}

fn style(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&TEXT)
}

/// Above the lines, where it covers none of them.
fn legend<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    lines: &[Line],
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    for (index, line) in lines.iter().enumerate() {
        let (left, middle) = (92 + 120 * index as i32, LEGEND_HEIGHT as i32 / 2 + 2);
        let colour = LINES[index % LINES.len()];
        area.draw(&PathElement::new(vec![(left, middle), (left + 18, middle)], colour.stroke_width(3)))?;
        let beside = style(13).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(line.name.clone(), (left + 24, middle), beside))?;
    }
    Ok(())
}

/// Draws mesh and lines: the types of the two kinds of axis differ.
macro_rules! draw {
    ($chart:ident, $lines:ident, $x:ident, $y:ident, $failed:ident) => {{
        $chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .label_style(style(13))
            .axis_desc_style(style(14))
            .x_desc($x.0)
            .y_desc($y.0)
            .x_labels(8)
            .y_labels(6)
            .x_label_formatter(&|value| $x.1(*value))
            .y_label_formatter(&|value| $y.1(*value))
            .draw()
            .map_err(|error| $failed(&error))?;
        for (index, line) in $lines.iter().enumerate() {
            let colour = LINES[index % LINES.len()];
            let series = LineSeries::new(line.points.iter().copied(), colour.stroke_width(2));
            $chart.draw_series(series).map_err(|error| $failed(&error))?;
        }
    }};
}

/// Whether an axis for these lines is better logarithmic: from a factor of 100 on, so that two powers of ten are on it.
pub fn spans_decades(lines: &[Line]) -> bool {
    let values = lines.iter().flat_map(|line| &line.points).map(|point| point.1.max(1.0));
    range(values).is_some_and(|range| range.end / range.start >= 100.0)
}

/// Lines over a linear axis; `logarithmic` for the other one.
///
/// # Errors
/// None that a page could have caused.
pub fn lines(lines: &[Line], x: (&str, Label), y: (&str, Label), logarithmic: bool) -> anyhow::Result<String> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let (Some(across), Some(up)) = (range(points().map(|point| point.0)), range(points().map(|point| point.1))) else {
        return Ok(String::new());
    };
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let failed = |error: &dyn std::fmt::Display| anyhow!("a chart cannot be drawn: {error}");
        let (names, plot) = area.split_vertically(if lines.len() > 1 { LEGEND_HEIGHT } else { 0 });
        if lines.len() > 1 {
            legend(&names, lines).map_err(|error| failed(&error))?;
        }
        let mut builder = ChartBuilder::on(&plot);
        // At the right, half of the last label stands out.
        builder.margin(8).margin_right(28).x_label_area_size(38).y_label_area_size(84);
        if logarithmic {
            let up = (up.start.max(1.0) * 0.8)..(up.end.max(2.0) * 1.25);
            let mut chart = builder.build_cartesian_2d(across, up.log_scale()).map_err(|error| failed(&error))?;
            draw!(chart, lines, x, y, failed);
        } else {
            let up = 0.0..(up.end * 1.08).max(1e-9);
            let mut chart = builder.build_cartesian_2d(across, up).map_err(|error| failed(&error))?;
            draw!(chart, lines, x, y, failed);
        }
        area.present().map_err(|error| failed(&error))?;
    }
    Ok(coloured(svg))
}

/// Bars from left to right, each with its name and value.
///
/// # Errors
/// None that a page could have caused.
pub fn bars(bars: &[Bar], value: Label) -> anyhow::Result<String> {
    if bars.is_empty() {
        return Ok(String::new());
    }
    let failed = |error: &dyn std::fmt::Display| anyhow!("a chart cannot be drawn: {error}");
    let longest = bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
    let height = 26 * bars.len() as i32 + 16;
    let (names, numbers) = (190, 90);
    let mut svg = String::new();
    {
        let size = (SIZE.0, height as u32);
        let area: DrawingArea<_, Shift> = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let room = f64::from(SIZE.0 as i32 - names - numbers);
        for (row, bar) in (0..).zip(bars) {
            let top = 8 + 26 * row;
            let right = names + (bar.value / longest * room) as i32;
            let colour = LINES[0].filled();
            area.draw(&Rectangle::new([(names, top + 3), (right.max(names + 1), top + 21)], colour))
                .map_err(|error| failed(&error))?;
            let at_right = style(15).pos(Pos::new(HPos::Right, VPos::Center));
            let at_left = style(15).pos(Pos::new(HPos::Left, VPos::Center));
            let middle = top + 12;
            area.draw(&Text::new(bar.name.clone(), (names - 8, middle), at_right)).map_err(|error| failed(&error))?;
            area.draw(&Text::new(value(bar.value), (right + 8, middle), at_left)).map_err(|error| failed(&error))?;
        }
        area.present().map_err(|error| failed(&error))?;
    }
    Ok(coloured(svg.replacen(&format!("width=\"{}\" height=\"{height}\"", SIZE.0), "role=\"img\"", 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_take_their_colours_from_the_page() {
        let line = |name: &str| Line { name: name.to_owned(), points: vec![(0.0, 1.0), (1.0, 100.0), (2.0, 10.0)] };
        for logarithmic in [false, true] {
            let svg =
                lines(&[line("one"), line("a<b")], ("x", |x| x.to_string()), ("y", |y| y.to_string()), logarithmic);
            let svg = svg.unwrap();
            assert!(svg.starts_with("<svg") && svg.contains("var(--line-2)") && svg.contains("var(--text)"));
            assert!(
                !svg.contains("#0102")
                    && !svg.contains("#0103")
                    && !svg.contains("a<b")
                    && !svg.contains("width=\"760\" height")
            );
        }
        let svg = bars(&[Bar { name: "open".into(), value: 3.5 }], |value| format!("{value:.1} us")).unwrap();
        assert!(svg.contains("open") && svg.contains("3.5 us"));
        assert_eq!(lines(&[], ("x", |x| x.to_string()), ("y", |y| y.to_string()), false).unwrap(), "");
        assert_eq!(bars(&[], |value| value.to_string()).unwrap(), "");
    }
}
