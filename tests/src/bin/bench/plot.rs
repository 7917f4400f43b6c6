//! The plot: a bar for what each lane adds, with its quartiles, and a line for the budget.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;

use crate::report::{Adds, Report};

const SIZE: (u32, u32) = (960, 480);
const OTHERS: RGBColor = RGBColor(140, 150, 165);
const OURS: RGBColor = RGBColor(40, 110, 190);
const BUDGET: RGBColor = RGBColor(200, 60, 50);
const FONT: &str = "sans-serif";

pub fn draw(report: &Report, to: &Path) -> Result<()> {
    // The first lane on top.
    let lanes: Vec<_> =
        report.lanes.iter().rev().filter_map(|lane| Some((lane.name, lane.adds.as_ref()?))).collect();
    let budgets = lanes.iter().filter_map(|(_, adds)| Some(report.noop()? * adds.budget?));
    let right = lanes.iter().map(|(_, adds)| adds.cpu_us.q3).chain(budgets).fold(1.0, f64::max) * 1.15;
    let left = lanes.iter().map(|(_, adds)| adds.cpu_us.q1).fold(0.0, f64::min) * 1.15;

    let area = SVGBackend::new(to, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let title = format!("What a filter adds to a request in Envoy {}: CPU time, µs", report.machine.envoy);
    let mut chart = ChartBuilder::on(&area)
        .caption(title, (FONT, 20))
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
        if let (Some(budget), Some(noop)) = (budget, report.noop()) {
            let line = [(noop * budget, bottom), (noop * budget, top)];
            chart.draw_series([PathElement::new(line, BUDGET.stroke_width(3))])?;
        }
    }
    area.present()?;
    Ok(())
}
