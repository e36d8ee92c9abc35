//! A page with the picture that can be moved and zoomed. Nothing is loaded from anywhere.

use super::{Graph, svg, xml};

pub(super) fn draw(graph: &Graph) -> String {
    let title = xml(&graph.title);
    let picture = svg::draw(graph);
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - Netloom</title>
<style>
html,body{{margin:0;height:100%;overflow:hidden;background:#fbfcfd}}
@media (prefers-color-scheme: dark){{html,body{{background:#151b22}}}}
svg{{width:100vw;height:100vh;cursor:grab;touch-action:none}}
svg:active{{cursor:grabbing}}
</style>
</head>
<body>
{picture}
<script>
// Drag to move, wheel to zoom, double click to see the whole.
const svg = document.querySelector('svg');
svg.removeAttribute('width'); svg.removeAttribute('height');
const whole = svg.viewBox.baseVal, home = [whole.x, whole.y, whole.width, whole.height];
const scale = () => Math.max(whole.width / svg.clientWidth, whole.height / svg.clientHeight);
let held = null;
svg.addEventListener('pointerdown', e => {{ held = [e.clientX, e.clientY]; svg.setPointerCapture(e.pointerId); }});
svg.addEventListener('pointerup', () => held = null);
svg.addEventListener('pointermove', e => {{
  if (!held) return;
  const s = scale();
  whole.x -= (e.clientX - held[0]) * s; whole.y -= (e.clientY - held[1]) * s;
  held = [e.clientX, e.clientY];
}});
svg.addEventListener('wheel', e => {{
  e.preventDefault();
  const f = e.deltaY > 0 ? 1.15 : 1 / 1.15;
  const p = svg.createSVGPoint(); p.x = e.clientX; p.y = e.clientY;
  const q = p.matrixTransform(svg.getScreenCTM().inverse());
  whole.x = q.x - (q.x - whole.x) * f; whole.y = q.y - (q.y - whole.y) * f;
  whole.width *= f; whole.height *= f;
}}, {{ passive: false }});
svg.addEventListener('dblclick', () => [whole.x, whole.y, whole.width, whole.height] = home);
</script>
</body>
</html>
"#
    )
}
