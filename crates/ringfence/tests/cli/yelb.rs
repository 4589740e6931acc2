//! The worked example: what its README shows is what the command says.

use std::path::Path;

use crate::run_in;

/// Every `$ ringfence ...` of the README, run in the example's folder, prints what stands below it.
#[test]
fn the_readme_tells_the_truth() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/yelb");
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let mut shown = 0;
    for block in readme.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap();
        for session in block.split("$ ringfence ").skip(1) {
            let (arguments, expect) = session.split_once('\n').unwrap();
            let run = run_in(&folder, arguments, "");
            assert_eq!(format!("{}{}", run.out, run.err).trim_end(), expect.trim_end(), "{arguments}");
            shown += 1;
        }
    }
    assert!(shown >= 4, "{shown}");
}
