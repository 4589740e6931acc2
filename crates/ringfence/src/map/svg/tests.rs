//! What must hold of every picture, whatever is in it.

use super::*;
use crate::map::graph::Island;

/// A graph of islands with so many boxes each, and nets between boxes that a simple rule picks.
fn graph(sizes: &[usize], step: usize) -> Graph {
    let mut units = Vec::new();
    let mut islands = Vec::new();
    for (island, size) in sizes.iter().enumerate() {
        let first = units.len();
        for place in 0..*size {
            let member = |n: usize| Member {
                name: format!("workload-{place}-{n}{}", "x".repeat(place * 7 % 40)),
                kind: "Deployment".to_owned(),
                pods: 1,
            };
            units.push(Unit {
                island,
                members: (0..=place % 3).map(member).collect(),
                ingress: "isolated",
                egress: "open",
                host_network: place % 5 == 4,
                among: (place % 3 == 1).then(|| "TCP 80".to_owned()),
                among_denied: false,
                denied_from: Vec::new(),
            });
        }
        islands
            .push(Island { namespace: format!("namespace-{island}"), units: (first..units.len()).collect() });
    }
    let count = units.len();
    let mut nets: Vec<Net> = (0..count)
        .map(|from| Net {
            from: vec![Spot::Unit(from)],
            to: vec![Spot::Unit((from * step + 1) % count)],
            label: format!("TCP {from}"),
            is_denied: from % 7 == 6,
        })
        .filter(|net| net.from != net.to)
        .collect();
    let net = |from: Vec<Spot>, to: Vec<Spot>| Net { from, to, label: "all".to_owned(), is_denied: false };
    nets.push(net(vec![Spot::Outside], vec![Spot::Unit(0), Spot::Island(0)]));
    nets.push(net(vec![Spot::Everything], vec![Spot::Outside]));
    Graph { islands, members: count, noun: "workload", units, nets }
}

fn worlds() -> Vec<Graph> {
    vec![
        graph(&[1], 3),
        graph(&[2, 1], 2),
        graph(&[5, 3, 8, 1, 1, 12], 3),
        graph(&[1; 40], 7),
        graph(&[60], 11),
    ]
}

#[test]
fn boxes_do_not_overlap_and_are_inside() {
    for graph in worlds() {
        let layout = Layout::new(&graph);
        let canvas = Rect { x: 0, y: 0, w: layout.width, h: layout.height };
        let contains = |outer: &Rect, inner: &Rect| {
            outer.x <= inner.x
                && outer.y <= inner.y
                && inner.right() <= outer.right()
                && inner.bottom() <= outer.bottom()
        };
        for (place, rect) in layout.units.iter().enumerate() {
            assert!(rect.w > 0 && rect.h > 0);
            let island = &layout.islands[graph.units[place].island];
            assert!(contains(island, rect), "{island:?} {rect:?}");
            assert!(layout.units[place + 1..].iter().all(|other| !other.meets(rect)), "{rect:?}");
        }
        for (place, rect) in layout.islands.iter().enumerate() {
            assert!(contains(&layout.frame, rect), "{:?} {rect:?}", layout.frame);
            assert!(layout.islands[place + 1..].iter().all(|other| !other.meets(rect)), "{rect:?}");
        }
        assert!(contains(&canvas, &layout.frame));
        let outside = layout.outside.unwrap();
        assert!(contains(&canvas, &outside) && !outside.meets(&layout.frame));
    }
}

#[test]
fn lines_reach_their_ends_and_keep_out_of_boxes() {
    for graph in worlds() {
        let layout = Layout::new(&graph);
        let mut router = Router::new(&layout);
        for (number, net) in graph.nets.iter().enumerate() {
            let route = router.route(net, number);
            let mut reached: Vec<Spot> = route.branches.iter().map(|b| b.ends.0).collect();
            reached.extend(route.branches.first().and_then(|b| b.begins).map(|(spot, _)| spot));
            reached.sort();
            let mut wanted = terminals(net);
            wanted.sort();
            assert_eq!(reached, wanted);
            for (x, y) in route.branches.iter().flat_map(|b| &b.cells) {
                let cell = Rect { x: *x, y: *y, w: 1, h: 1 };
                assert!(layout.units.iter().chain(&layout.outside).all(|rect| !rect.meets(&cell)));
            }
        }
    }
}

#[test]
fn the_picture_is_the_same_each_time_and_holds_no_name_as_markup() {
    let mut graph = graph(&[3, 2], 2);
    graph.islands[0].namespace = "</text><script>alert(1)</script>".to_owned();
    graph.units[0].members[0].name = "\"><img src=x onerror=1>&\u{1}".to_owned();
    graph.nets[0].label = "<b>".to_owned();
    let svg = text(&graph);
    assert_eq!(svg, text(&graph));
    assert!(
        !svg.contains("<script") && !svg.contains("<img") && !svg.contains("<b>") && !svg.contains('\u{1}')
    );
    assert!(
        svg.contains("&lt;script&gt;")
            && svg.contains("<title id=\"title\">")
            && svg.contains("<desc id=\"desc\">")
    );
}

#[test]
fn corners_are_round_and_straight_pieces_are_one() {
    let branch = Branch {
        cells: vec![(1, 1), (2, 1), (3, 1), (3, 2)],
        begins: Some((Spot::Unit(0), (1, 0))),
        ends: (Spot::Unit(1), (0, 1)),
    };
    assert_eq!(points(&branch), [(10, 15), (35, 15), (35, 30)]);
    assert_eq!(path(&points(&branch)), "M10 15L30 15Q35 15 35 20L35 30");
    assert_eq!(head((35, 30), (0, 1)), "M35 30L39 22L31 22Z");
}
