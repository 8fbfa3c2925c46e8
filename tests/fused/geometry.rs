//! A geometry branch: what the cameras' intrinsics do, and what is said where they are missing.

use super::*;

/// The deep fusion policy with another entry for its camera.
fn seen(change: impl FnOnce(&mut Value)) -> Case {
    let case = Case::edited("deep_fusion_llama", |_| {});
    let path = case.dir.join("input/camera_info.json");
    let mut infos: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut infos);
    std::fs::write(path, infos.to_string()).unwrap();
    case
}

/// Why nothing was inferred.
fn refused(case: &Case) -> String {
    case.export();
    let output = case.command("infer", None, &[]);
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).lines().next_back().unwrap_or_default().to_owned()
}

#[test]
fn other_intrinsics_give_another_velocity() {
    let ours = Case::of("deep_fusion_llama").run().floats("flow.velocity.step0");
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
    let without = Case::edited("deep_fusion_llama", |_| {});
    let path = without.dir.join("run.json");
    let mut commands = without.commands();
    let words = commands["infer"].as_array_mut().unwrap();
    let at = words.iter().position(|word| word == "--camera-info").unwrap();
    words.drain(at..at + 2);
    std::fs::write(path, commands.to_string()).unwrap();
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
