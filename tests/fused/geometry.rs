//! A geometry branch: what the cameras' intrinsics do, and what is said where they are missing.

use super::*;

/// The case that has a geometry branch.
const BRANCH: &str = "deep_fusion_llama";

/// The deep fusion policy with another entry for its camera.
fn seen(change: impl FnOnce(&mut Value)) -> Case {
    let case = Case::edited(BRANCH, |_| {});
    case.edit("input/camera_info.json", change);
    case
}

/// Why nothing was inferred.
fn refused(case: &Case) -> String {
    case.export();
    let output = case.command("infer", None, &[]);
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).lines().next_back().unwrap_or_default().to_owned()
}

/// The case with a second camera; where it has no geometry branch it gets the deep fusion policy's.
fn with_two_cameras(name: &str, model: &str) -> Case {
    let case = Case::edited(name, |_| {});
    if name != BRANCH {
        let sizes = std::fs::read(Case::of(BRANCH).dir.join("checkpoint/config.json")).unwrap();
        let sizes: Value = serde_json::from_slice(&sizes).unwrap();
        case.edit("checkpoint/config.json", |config| match config.get_mut("framework") {
            Some(run) => run["mapanything_llava3d"]["use_geometric_branch"] = json!(true),
            None => config["use_geometric_branch"] = json!(true),
        });
        let file = if model.is_empty() { "config.json" } else { "base_vlm/config.json" };
        case.edit(&format!("checkpoint/{file}"), |config| {
            config["mapanything_config"] = sizes["mapanything_config"].clone();
        });
        add_branch(&case, model);
    }
    let inputs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let file = |name: &str| inputs.join(name).display().to_string();
    case.edit("run.json", |commands| {
        let cameras = commands["export"].as_array_mut().unwrap().iter_mut().find(|word| *word == "cam0");
        *cameras.unwrap() = json!("cam0,cam1");
        let words = commands["infer"].as_array_mut().unwrap();
        let first = words.iter().position(|word| word == "cam0=input/image_0.png").unwrap();
        words[first] = json!(format!("cam0={}", file("checkpoints/deep_fusion_llama/input/image_0.png")));
        let second = format!("cam1={}", file("checkpoints/pi05/input/image_1.png"));
        words.extend([json!("--image"), json!(second)]);
        words.retain(|word| word != "--camera-info" && word != "input/camera_info.json");
        words.extend([json!("--camera-info"), json!(file("geometry/camera_info.json"))]);
    });
    case
}

/// Adds the deep fusion policy's geometry branch to the checkpoint, whose model stands under `model`.
fn add_branch(case: &Case, model: &str) {
    let path = case.dir.join("checkpoint/model.safetensors");
    let own = std::fs::read(&path).unwrap();
    let other = std::fs::read(Case::of(BRANCH).dir.join("checkpoint/model.safetensors")).unwrap();
    let [own, other] = [&own, &other].map(|bytes| SafeTensors::deserialize(bytes).unwrap());
    let branch = other
        .tensors()
        .into_iter()
        .filter(|(name, _)| ["geometric_", "fusion_projector."].iter().any(|start| name.starts_with(start)));
    let branch = branch.map(|(name, tensor)| (format!("{model}{name}"), tensor));
    let file = safetensors::serialize(own.tensors().into_iter().chain(branch), None).unwrap();
    std::fs::write(path, file).unwrap();
}

/// The numbers come from recipes/geometry.py, which runs the late expert without a cache.
#[test]
fn two_cameras_and_geometry_equal_their_independent_computation() {
    let model = "mapanythingllava3d_vlm_interface.model.";
    for (name, model, tolerance) in [(BRANCH, "", 2e-4), ("late_fusion_flow", "", 5e-5), ("dit_llava3d", model, 1e-4)] {
        let run = with_two_cameras(name, model).run();
        let wanted = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/geometry/{name}.safetensors"));
        let wanted = std::fs::read(wanted).unwrap();
        near(&floats(&wanted, "intrinsics"), &run.floats("intrinsics"), 1e-5, name);
        near(&floats(&wanted, "prefix.embeds"), &run.floats("prefix_embeds"), 3e-5, name);
        // f32 against f64 through every layer and step.
        run.check_steps(&wanted, "flow.velocity", tolerance);
    }
}

#[test]
fn other_intrinsics_give_another_velocity() {
    let ours = Case::of(BRANCH).run().floats("flow.velocity.step0");
    let zoomed = seen(|infos| {
        for entry in [0, 5] {
            let focal = infos[0]["p"][entry].as_f64().unwrap();
            infos[0]["p"][entry] = json!(1.3 * focal);
        }
    });
    let moved = worst(&ours, &zoomed.run().floats("flow.velocity.step0"));
    assert!(moved > 1e-3, "{moved}");
}

/// The same camera, told in other words: raw, of a larger sensor, or of one with smaller pixels.
#[test]
fn a_camera_that_sees_the_same_gives_the_same_matrix() {
    let told = |change: fn(&mut Value)| {
        let case = seen(|infos| change(&mut infos[0]));
        case.run().floats("intrinsics")
    };
    let wanted = told(|_| {});
    let same = |got: Vec<f32>| worst(&wanted, &got) < 1e-5;
    assert!(same(told(|info| info["image_is_rectified"] = json!(false))));
    assert!(same(told(|info| {
        info["roi"] = json!({"x_offset": 31, "y_offset": 17, "width": 240, "height": 180, "do_rectify": false});
        (info["width"], info["height"]) = (json!(640), json!(480));
        (info["p"][2], info["p"][6]) = (json!(118.6 + 31.0), json!(92.3 + 17.0));
    })));
    assert!(same(told(|info| {
        (info["binning_x"], info["binning_y"]) = (json!(2), json!(3));
        (info["width"], info["height"]) = (json!(480), json!(540));
        info["p"] = json!([411.0, 0, 237.2, 0, 0, 609.75, 276.9, 0, 0, 0, 1, 0]);
    })));
    assert!(!same(told(|info| info["p"][2] = json!(119.6))));
}

#[test]
fn a_policy_with_geometry_is_not_asked_without_knowing_its_camera() {
    let without = Case::edited(BRANCH, |_| {});
    without.edit("run.json", |commands| {
        let words = commands["infer"].as_array_mut().unwrap();
        let at = words.iter().position(|word| word == "--camera-info").unwrap();
        words.drain(at..at + 2);
    });
    assert_eq!(refused(&without), "vla: error: the policy takes the intrinsics of cam0: --camera-info is missing");
    let info = "vla: error: camera info: input/camera_info.json: ";
    let none = refused(&seen(|infos| infos[0]["k"][0] = json!(0.0)));
    assert_eq!(none, format!("{info}camera `cam0`: the camera is not calibrated: `k` of its camera info is zero"));
    let few = refused(&seen(|infos| *infos = json!([])));
    assert_eq!(few, format!("{info}got 0 entries, wanted one per camera, cam0"));
    let other = refused(&seen(|infos| infos[0]["width"] = json!(320)));
    assert_eq!(other, "vla: error: camera `cam0`: picture of 240 x 180 pixels, its camera info is of 320 x 180");
    let bent = refused(&seen(|infos| {
        infos[0]["image_is_rectified"] = json!(false);
        infos[0]["d"][2] = json!(0.25);
    }));
    let said = "the lens bends the pictures (0.25 in `distortion_coefficients`), wanted straight ones";
    assert_eq!(bent, format!("{info}camera `cam0`: camera info: {said}"));
}
