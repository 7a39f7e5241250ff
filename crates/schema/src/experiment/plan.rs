//! Even splits of the layers, and the ring that puts the head back on node 0.

/// How `partition.plan` splits the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// One stage.
    None,
    /// N nodes; node 0 holds the first and the last stage.
    Ring(usize),
    /// N nodes in a row.
    Pipeline(usize),
}

/// What a plan may be, for errors.
pub(crate) const PLANS: &str = "\"ring-N\" or \"pipeline-N\" with 2 to 1024 nodes, or \"none\"";

impl Plan {
    /// Reads `none`, `ring-N` or `pipeline-N`.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        if name == "none" {
            return Some(Self::None);
        }
        let (shape, nodes) = name.rsplit_once('-')?;
        let digits = nodes.bytes().all(|b| b.is_ascii_digit());
        let nodes = nodes.parse().ok().filter(|n| digits && (2..=1024).contains(n))?;
        match shape {
            "ring" => Some(Self::Ring(nodes)),
            "pipeline" => Some(Self::Pipeline(nodes)),
            _ => None,
        }
    }

    /// How many nodes take part.
    pub(crate) fn nodes(self) -> usize {
        match self {
            Self::None => 1,
            Self::Ring(nodes) | Self::Pipeline(nodes) => nodes,
        }
    }

    /// The fewest layers that give every stage one.
    pub(crate) fn least_layers(self) -> usize {
        match self {
            Self::None => 0,
            // Node 0 needs a layer at each end, and no node has fewer layers than node 0.
            Self::Ring(nodes) => 2 * nodes,
            Self::Pipeline(nodes) => nodes,
        }
    }

    /// The cuts of a model with at least [`Plan::least_layers`] layers.
    pub(crate) fn cuts(self, layers: usize) -> Vec<usize> {
        let sizes: Vec<usize> = match self {
            Self::None => return Vec::new(),
            // Node 0 holds the embedding, the first half of its share, the last half and the head;
            // layers that do not divide evenly go to nodes 1, 2, ….
            Self::Ring(nodes) => {
                let (base, rest) = (layers / nodes, layers % nodes);
                let middle = (1..nodes).map(|node| base + usize::from(node <= rest));
                std::iter::once(base / 2).chain(middle).collect()
            }
            Self::Pipeline(nodes) => {
                let (base, rest) = (layers / nodes, layers % nodes);
                (0..nodes - 1).map(|node| base + usize::from(node < rest)).collect()
            }
        };
        let mut end = 0;
        let ends = sizes.into_iter().map(|size| {
            end += size;
            end - 1
        });
        ends.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_that_fits_gives_each_stage_a_layer() {
        for nodes in 2..9 {
            for layers in 2 * nodes..70 {
                for (plan, links) in
                    [(Plan::Ring(nodes), nodes), (Plan::Pipeline(nodes), nodes - 1)]
                {
                    let cuts = plan.cuts(layers);
                    assert_eq!(cuts.len(), links);
                    assert!(cuts.windows(2).all(|pair| pair[0] < pair[1]), "{plan:?} {layers}");
                    assert!(cuts.iter().all(|&cut| cut + 1 < layers), "{plan:?} {layers}");
                }
            }
        }
    }
}
