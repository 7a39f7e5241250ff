//! Where a model of a given depth is cut, and which node holds which stage.

use super::cells::CUT;
use super::plan::{PLANS, Plan};
use crate::{Experiment, SchemaError};

/// A model's partition: `cuts.len() + 1` stages and a link for every cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Cut after each of these layers, counted from 0.
    pub cuts: Vec<usize>,
    /// The node of every stage. In a ring the first and the last are the same.
    pub nodes: Vec<String>,
    /// The device of every stage, as the experiment names it.
    pub devices: Vec<String>,
    /// The links, in the order in which a message crosses them.
    pub links: Vec<Link>,
}

/// A cut with its two nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Position among the links, from 0.
    pub index: usize,
    /// The layer before the cut, from 0.
    pub after: usize,
    /// The node that encodes.
    pub from: String,
    /// The node that decodes.
    pub to: String,
    /// `after:7 node0->node1`.
    pub name: String,
}

impl Experiment {
    /// Cuts a model with this many layers, and checks that the links which the compressors name
    /// are there.
    ///
    /// # Errors
    /// If the model has too few layers for the plan, a cut lies past the last layer but one, or a
    /// compressor names a link that the partition does not have.
    pub fn partition(&self, layers: usize) -> Result<Partition, SchemaError> {
        let section = &self.partition;
        let (cuts, distinct) = match (&section.cuts, section.plan.as_deref()) {
            (Some(cuts), _) => {
                if let Some(at) = cuts.iter().position(|&cut| cut + 1 >= layers) {
                    return Err(self.value_error(
                        &format!("partition.cuts[{at}]"),
                        cuts_allowed(layers),
                        format!("{}", cuts[at]),
                        None,
                    ));
                }
                (cuts.clone(), None)
            }
            (None, None) if !self.swept_cuts().is_empty() => {
                let cuts = self.swept_cuts();
                if let Some(cut) = cuts.iter().find(|&&cut| cut + 1 >= layers) {
                    let expected = cuts_allowed(layers);
                    return Err(self.value_error("compressor", expected, cut.to_string(), None));
                }
                (cuts, None)
            }
            (None, name) => {
                let plan = name
                    .map_or(Some(Plan::None), Plan::parse)
                    .ok_or_else(|| self.value_error("partition.plan", PLANS, quoted(name), None))?;
                if layers < plan.least_layers() {
                    return Err(self.value_error(
                        "partition.plan",
                        format!(
                            "a plan that fits {layers} layers (this one needs {})",
                            plan.least_layers()
                        ),
                        quoted(name),
                        None,
                    ));
                }
                (plan.cuts(layers), Some(plan))
            }
        };
        let nodes = stage_nodes(cuts.len() + 1, distinct, section.nodes.as_deref());
        let partition = Partition {
            devices: stage_devices(&nodes, section.devices.as_deref(), &self.model.device),
            links: links(&cuts, &nodes),
            cuts,
            nodes,
        };
        self.check_links(&partition)?;
        Ok(partition)
    }

    fn check_links(&self, partition: &Partition) -> Result<(), SchemaError> {
        let count = partition.links.len();
        for (compressor, section) in self.compressor.iter().enumerate() {
            for (at, cut) in section.sweep.get(CUT).into_iter().flatten().enumerate() {
                let known = |cut: u64| partition.cuts.iter().any(|&known| known as u64 == cut);
                if !cut.as_u64().is_some_and(known) {
                    let key = format!("{}[{at}]", Self::sweep_path(compressor, CUT));
                    let expected = format!("one of the partition's cuts, {:?}", partition.cuts);
                    return Err(self.value_error(&key, expected, cut.to_string(), None));
                }
            }
        }
        for (compressor, section) in self.compressor.iter().enumerate() {
            for (at, &link) in section.links.iter().flatten().enumerate() {
                if link >= count {
                    let key = format!("compressor[{compressor}].links[{at}]");
                    let expected = match count {
                        0 => "no links, because the partition has none".to_owned(),
                        1 => "0, the partition's only link".to_owned(),
                        _ => format!("a link from 0 to {}", count - 1),
                    };
                    return Err(self.value_error(&key, expected, link.to_string(), None));
                }
            }
        }
        Ok(())
    }
}

fn stage_nodes(stages: usize, plan: Option<Plan>, names: Option<&[String]>) -> Vec<String> {
    let count = plan.map_or(stages, Plan::nodes);
    (0..stages)
        .map(|stage| stage % count)
        .map(|node| names.map_or_else(|| format!("node{node}"), |names| names[node].clone()))
        .collect()
}

fn stage_devices(nodes: &[String], devices: Option<&[String]>, default: &str) -> Vec<String> {
    let Some(devices) = devices else {
        return vec![default.to_owned(); nodes.len()];
    };
    let mut distinct: Vec<&String> = Vec::new();
    nodes
        .iter()
        .map(|node| {
            let known = distinct.iter().position(|seen| *seen == node);
            let index = known.unwrap_or_else(|| {
                distinct.push(node);
                distinct.len() - 1
            });
            devices[index].clone()
        })
        .collect()
}

fn links(cuts: &[usize], nodes: &[String]) -> Vec<Link> {
    let pairs = nodes.iter().zip(nodes.iter().skip(1));
    cuts.iter()
        .zip(pairs)
        .enumerate()
        .map(|(index, (&after, (from, to)))| Link {
            index,
            after,
            name: format!("after:{after} {from}->{to}"),
            from: from.clone(),
            to: to.clone(),
        })
        .collect()
}

fn cuts_allowed(layers: usize) -> String {
    match layers {
        0 | 1 => format!("no cuts, because the model has {layers} layers"),
        _ => format!(
            "a cut after layer 0 to {}, because the model has {layers} layers and each stage \
             needs at least one",
            layers - 2
        ),
    }
}

fn quoted(name: Option<&str>) -> String {
    name.map_or_else(|| "nothing".to_owned(), |name| format!("{name:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(body: &str, layers: usize) -> Partition {
        let text = format!(
            "name = \"t\"\nmodel = {{ source = \"m\" }}\ndata = {{ source = \"d\" }}\n[partition]\n{body}"
        );
        Experiment::parse(&text, "t.toml").unwrap().partition(layers).unwrap()
    }

    fn names(partition: &Partition) -> Vec<&str> {
        partition.links.iter().map(|link| link.name.as_str()).collect()
    }

    #[test]
    fn ring_4_over_64_layers_is_the_published_partition() {
        let ring = partition("plan = \"ring-4\"", 64);
        assert_eq!(
            names(&ring),
            [
                "after:7 node0->node1",
                "after:23 node1->node2",
                "after:39 node2->node3",
                "after:55 node3->node0"
            ]
        );
        assert_eq!(ring.nodes, ["node0", "node1", "node2", "node3", "node0"]);
        assert_eq!(ring.devices, ["auto"; 5]);
    }

    #[test]
    fn layers_that_do_not_divide_go_to_nodes_1_and_on() {
        // Node 0: 3 + 4 layers; nodes 1 and 2: 8; node 3: 7.
        assert_eq!(partition("plan = \"ring-4\"", 30).cuts, [2, 10, 18, 25]);
        assert_eq!(partition("plan = \"ring-4\"", 8).cuts, [0, 2, 4, 6]);
        assert_eq!(partition("plan = \"ring-2\"", 4).cuts, [0, 2]);
        assert_eq!(partition("plan = \"pipeline-4\"", 30).cuts, [7, 15, 22]);
        assert_eq!(partition("plan = \"pipeline-4\"", 4).cuts, [0, 1, 2]);
    }

    #[test]
    fn no_cut() {
        let whole = partition("plan = \"none\"", 8);
        assert!(whole.cuts.is_empty() && whole.links.is_empty());
        assert_eq!(whole.nodes, ["node0"]);
        assert_eq!(partition("", 8), whole);
    }

    #[test]
    fn devices_follow_their_node() {
        let ring = partition(
            "plan = \"ring-2\"\nnodes = [\"a\", \"b\"]\ndevices = [\"cpu\", \"cuda:0\"]",
            8,
        );
        assert_eq!(names(&ring), ["after:1 a->b", "after:5 b->a"]);
        assert_eq!(ring.devices, ["cpu", "cuda:0", "cpu"]);
        let cuts = partition("cuts = [1, 5]\nnodes = [\"a\", \"b\", \"a\"]", 8);
        assert_eq!(names(&cuts), ["after:1 a->b", "after:5 b->a"]);
        assert_eq!(partition("cuts = [1, 5]", 8).nodes, ["node0", "node1", "node2"]);
    }
}
