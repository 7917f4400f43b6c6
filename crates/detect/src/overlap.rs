//! Which findings stay where several claim the same bytes.

use std::cmp::Reverse;

use crate::finding::Finding;

/// Of findings that overlap keeps the one of the highest confidence, then of the highest rank, then the longest, then the first.
/// What patterns and dictionaries of the caller find stays in any case, and takes nothing away.
///
/// `findings` are in order, and stay so.
pub(crate) fn resolve(findings: &mut Vec<Finding>) {
    let overlap = |pair: (&Finding, &Finding)| pair.1.range.start < pair.0.range.end;
    if !findings.iter().zip(findings.iter().skip(1)).any(overlap) {
        return;
    }
    let mut kept: Vec<Finding> = Vec::with_capacity(findings.len());
    let mut rest = findings.as_slice();
    while let Some(first) = rest.first() {
        // All that hang together: what ends before the next begins is on its own.
        let mut end = first.range.end;
        let together = rest.iter().position(|next| {
            let apart = next.range.start >= end && next != first;
            end = end.max(next.range.end);
            apart
        });
        let (cluster, after) = rest.split_at_checked(together.unwrap_or(rest.len())).unwrap_or_default();
        keep_strongest(cluster, &mut kept);
        rest = after;
    }
    *findings = kept;
}

fn keep_strongest(cluster: &[Finding], kept: &mut Vec<Finding>) {
    let from = kept.len();
    let (custom, mut known): (Vec<&Finding>, Vec<&Finding>) =
        cluster.iter().partition(|finding| finding.kind.detector().is_none());
    known.sort_by_key(|finding| Reverse(strength(finding)));
    for finding in known {
        let mine = kept.get(from..).unwrap_or_default();
        let place =
            from.saturating_add(mine.partition_point(|other| other.range.start < finding.range.start));
        // Those kept do not overlap each other, so only neighbours can be in the way.
        let before =
            place.checked_sub(1).filter(|before| *before >= from).and_then(|before| kept.get(before));
        let free = before.is_none_or(|before| before.range.end <= finding.range.start)
            && kept.get(place).is_none_or(|after| finding.range.end <= after.range.start);
        if free {
            kept.insert(place, finding.clone());
        }
    }
    kept.extend(custom.into_iter().cloned());
    if let Some(mine) = kept.get_mut(from..) {
        mine.sort_by_key(|finding| (finding.range.start, finding.range.end));
    }
}

fn strength(finding: &Finding) -> (u8, u8, usize, Reverse<usize>) {
    let rank = finding.kind.detector().map_or(0, |detector| detector.rank);
    (finding.confidence, rank, finding.range.len(), Reverse(finding.range.start))
}
