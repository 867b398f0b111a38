//! The icon as pixels: a padlock that is closed, open, or wants to be looked at. Drawn here, so that
//! it shows on desktops without a theme that knows it; the packages bring the same shapes as files.

use ksni::Icon;

use crate::model::Face;

/// Sizes that panels ask for.
const SIZES: [i32; 5] = [16, 22, 24, 32, 48];
/// Each pixel is looked at in so many places in both directions.
const SAMPLES: i32 = 4;

const LIGHT: Colour = [0xff, 0xee, 0xee, 0xec];
const GREEN: Colour = [0xff, 0x73, 0xd2, 0x16];
const ORANGE: Colour = [0xff, 0xf5, 0x79, 0x00];
/// Around the shapes, so that they show on light and dark panels.
const EDGE: Colour = [0xff, 0x2e, 0x34, 0x36];

type Colour = [u8; 4];

/// All sizes of a face.
pub(crate) fn icons(face: Face) -> Vec<Icon> {
    SIZES.iter().map(|size| icon(face, *size)).collect()
}

fn icon(face: Face, size: i32) -> Icon {
    let mut data = Vec::new();
    for y in 0..size {
        for x in 0..size {
            data.extend(pixel(face, size, x, y));
        }
    }
    Icon {
        width: size,
        height: size,
        data,
    }
}

/// The mean of what is seen in one pixel, as ARGB.
fn pixel(face: Face, size: i32, x: i32, y: i32) -> Colour {
    let (mut alpha, mut sums) = (0_u32, [0_u32; 3]);
    for sample in 0..SAMPLES * SAMPLES {
        let at = |pixel: i32, part: i32| {
            let place = pixel as f32 + (part as f32 + 0.5) / SAMPLES as f32;
            place * 24.0 / size as f32
        };
        let seen = colour(face, at(x, sample % SAMPLES), at(y, sample / SAMPLES));
        if let Some([a, rgb @ ..]) = seen {
            alpha += u32::from(a);
            for (sum, part) in sums.iter_mut().zip(rgb) {
                *sum += u32::from(part);
            }
        }
    }
    let opaque = alpha / 255;
    if opaque == 0 {
        return [0; 4];
    }
    let byte = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
    let [r, g, b] = sums.map(|sum| byte(sum / opaque));
    let samples = u32::try_from(SAMPLES * SAMPLES).unwrap_or(1);
    [byte(alpha / samples), r, g, b]
}

/// On a field of 24 by 24.
fn colour(face: Face, x: f32, y: f32) -> Option<Colour> {
    let (body, lift) = match face {
        Face::Locked => (LIGHT, 0.0),
        Face::Unlocked => (GREEN, 1.0),
        Face::Attention => (ORANGE, 0.0),
    };
    let keyhole = match face {
        // An exclamation mark.
        Face::Attention => {
            in_box(x, y, [10.9, 12.6, 13.1, 17.2], 0.8) || in_disc(x, y, 12.0, 19.2, 1.25)
        }
        _ => in_disc(x, y, 12.0, 15.3, 1.7) || in_box(x, y, [11.2, 15.5, 12.8, 19.0], 0.5),
    };
    if keyhole {
        return Some(EDGE);
    }
    if in_box(x, y, [4.0, 11.0, 20.0, 21.5], 1.8) {
        return Some(body);
    }
    if in_box(x, y, [3.0, 10.0, 21.0, 22.5], 2.6) {
        return Some(EDGE);
    }
    if in_shackle(x, y, lift, 0.0) {
        return Some(LIGHT);
    }
    in_shackle(x, y, lift, 0.9).then_some(EDGE)
}

/// The bow: half a ring on two legs; an open one is drawn to the side and has one leg free.
fn in_shackle(x: f32, y: f32, lift: f32, grow: f32) -> bool {
    let (middle, top) = (12.0 + 5.0 * lift, 7.5 - 0.5 * lift);
    let (inner, outer) = (3.1 - grow, 5.3 + grow);
    let (dx, dy) = (x - middle, y - top);
    let far = (dx * dx + dy * dy).sqrt();
    let ring = y <= top && (inner..=outer).contains(&far);
    let bottom = if lift > 0.0 && dx > 0.0 {
        top + 2.2 + grow
    } else {
        12.0
    };
    let legs = (top..=bottom).contains(&y) && (inner..=outer).contains(&dx.abs());
    ring || legs
}

fn in_disc(x: f32, y: f32, cx: f32, cy: f32, radius: f32) -> bool {
    (x - cx).powi(2) + (y - cy).powi(2) <= radius * radius
}

/// A box with round corners.
fn in_box(x: f32, y: f32, [left, top, right, bottom]: [f32; 4], radius: f32) -> bool {
    if !(left..=right).contains(&x) || !(top..=bottom).contains(&y) {
        return false;
    }
    let nearest = |v: f32, low: f32, high: f32| v.clamp(low + radius, high - radius);
    in_disc(
        x,
        y,
        nearest(x, left, right),
        nearest(y, top, bottom),
        radius,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faces_can_be_told_apart() {
        for size in SIZES {
            let all = [Face::Locked, Face::Unlocked, Face::Attention].map(|f| icon(f, size).data);
            for data in &all {
                assert_eq!(data.len(), (size * size * 4) as usize);
                let drawn = data.chunks(4).filter(|p| p[0] > 128).count() as i32;
                assert!(drawn > size * size / 3, "{size}: {drawn} pixels");
            }
            let differ = |a: &[u8], b: &[u8]| {
                a.chunks(4).zip(b.chunks(4)).filter(|(a, b)| a != b).count() as i32
            };
            assert!(differ(&all[0], &all[1]) > size * size / 5);
            assert!(differ(&all[0], &all[2]) > size * size / 5);
        }
    }
}
