//! The plot: a bar for what each lane adds, with its quartiles, and a line for the budget. Lanes whose answers are of one
//! size share a chart.

use std::path::Path;

use anyhow::Result;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::report::{Adds, Measured, Report};

const WIDTH: u32 = 960;
/// Of a bar, and of what stands around the bars of a chart.
const BAR: u32 = 26;
const AROUND: u32 = 120;
const OTHERS: RGBColor = RGBColor(140, 150, 165);
const OURS: RGBColor = RGBColor(40, 110, 190);
const BUDGET: RGBColor = RGBColor(200, 60, 50);
const FONT: &str = "sans-serif";

pub fn draw(report: &Report, to: &Path) -> Result<()> {
    let mut charts: Vec<(&str, Vec<(&str, &Adds)>)> = Vec::new();
    for Measured { name, traffic, adds, .. } in &report.lanes {
        let Some(adds) = adds else { continue };
        match charts.iter_mut().find(|(size, _)| *size == traffic.size()) {
            Some((_, lanes)) => lanes.push((name, adds)),
            None => charts.push((traffic.size(), vec![(name, adds)])),
        }
    }
    let mut bottoms: Vec<u32> = Vec::new();
    for (_, lanes) in &charts {
        let top = bottoms.last().copied().unwrap_or(0);
        bottoms.push(top + AROUND + BAR * u32::try_from(lanes.len())?);
    }
    let area = SVGBackend::new(to, (WIDTH, bottoms.last().copied().unwrap_or(AROUND))).into_drawing_area();
    area.fill(&WHITE)?;
    for (part, (size, lanes)) in area.split_by_breakpoints::<u32, u32, _, _>([], &bottoms).iter().zip(charts)
    {
        draw_chart(report, part, size, lanes)?;
    }
    area.present()?;
    Ok(())
}

fn draw_chart(
    report: &Report,
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    size: &str,
    mut lanes: Vec<(&str, &Adds)>,
) -> Result<()> {
    // The first lane on top.
    lanes.reverse();
    let budgets = lanes.iter().filter_map(|(_, adds)| Some(adds.budget.as_ref()?.us));
    let right = lanes.iter().map(|(_, adds)| adds.cpu_us.q3).chain(budgets).fold(1.0, f64::max) * 1.15;
    let left = lanes.iter().map(|(_, adds)| adds.cpu_us.q1).fold(0.0, f64::min) * 1.15;
    let title = format!(
        "What a filter adds to a request in Envoy {}: CPU time, µs; answers of {size}",
        report.machine.envoy
    );
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, 18))
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(150)
        .build_cartesian_2d(left..right, (0..lanes.len().saturating_sub(1)).into_segmented())?;
    let machine = format!("{} x {}, {}", report.machine.cores, report.machine.cpu, report.machine.date);
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .x_label_formatter(&|us| format!("{us:.0}"))
        .x_desc(format!("bar: median of the rounds; whisker: quartiles; red: budget ({machine})"))
        .y_labels(lanes.len())
        .y_label_formatter(&|lane| match lane {
            SegmentValue::CenterOf(lane) => {
                lanes.get(*lane).map_or(String::new(), |(name, _)| (*name).into())
            }
            _ => String::new(),
        })
        .label_style((FONT, 14))
        .axis_desc_style((FONT, 13))
        .draw()?;

    for (place, (_, adds)) in lanes.iter().enumerate() {
        let Adds { cpu_us, budget, .. } = adds;
        let (bottom, middle, top) =
            (SegmentValue::Exact(place), SegmentValue::CenterOf(place), SegmentValue::Exact(place + 1));
        let colour = if budget.is_some() { OURS } else { OTHERS };
        let mut bar = Rectangle::new([(0.0, bottom.clone()), (cpu_us.median, top.clone())], colour.filled());
        bar.set_margin(5, 5, 0, 0);
        chart.draw_series([bar])?;
        let whisker = [(cpu_us.q1, middle.clone()), (cpu_us.q3, middle.clone())];
        chart.draw_series([PathElement::new(whisker, BLACK.stroke_width(2))])?;
        let figure = Text::new(format!("{:+.2}", cpu_us.median), (6, -7), (FONT, 13));
        let beside = EmptyElement::at((cpu_us.q3.max(0.0), middle)) + figure;
        chart.draw_series([beside])?;
        if let Some(budget) = budget {
            let line = [(budget.us, bottom), (budget.us, top)];
            chart.draw_series([PathElement::new(line, BUDGET.stroke_width(3))])?;
        }
    }
    Ok(())
}
