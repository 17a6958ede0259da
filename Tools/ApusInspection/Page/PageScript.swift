/// The page's script.
///
/// Lanes are drawn into two canvases, whatever is in view of them: of each lane the items from the first to the last that
/// is visible, by a search, and those narrower than a pixel together as one column.
enum PageScript {
  static let text = #"""
    'use strict';
    const data = JSON.parse(document.getElementById('data').textContent);
    const $ = id => document.getElementById(id);
    const LABEL = 220, AXIS = 22, PHASE = 16, TALL = 26, ROW = 17;
    const ACTIVITIES = ['runnable', 'running', 'in a system call', 'blocked'];
    const COLORS = ['#f0a830', '#2f9e5b', '#7d5fc4', '#c6ced8'];
    const REASONS = [[/network/, '#7fb7d6'], [/chan|select/, '#b3c1e6'], [/sync/, '#e8a5a5'], [/sleep/, '#dfe4ea']];
    const MANY = '#8794a3';

    function duration(ns) {
      for (const [size, unit] of [[1e9, 's'], [1e6, 'ms'], [1e3, 'µs']])
        if (ns >= size) { const n = ns / size; return n.toFixed(n < 9.995 ? 2 : n < 99.95 ? 1 : 0) + ' ' + unit; }
      return Math.round(ns) + ' ns';
    }
    function escape(text) { return text.replace(/[&<>]/g, c => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' }[c])); }

    // Starts, ends and the rest of a lane's items, from differences.
    function unpack(items) {
      const count = items.length / 7, lane = { count, start: new Float64Array(count), end: new Float64Array(count), rest: items };
      let time = 0;
      for (let i = 0; i < count; i++) {
        time += items[i * 7];
        lane.start[i] = time;
        lane.end[i] = time + items[i * 7 + 1];
      }
      return lane;
    }
    const what = (lane, i) => lane.rest[i * 7 + 2], number = (lane, i) => lane.rest[i * 7 + 3];
    const busy = (lane, i) => lane.rest[i * 7 + 4], reason = (lane, i) => data.texts[lane.rest[i * 7 + 5]];
    const stack = (lane, i) => data.stacks[lane.rest[i * 7 + 6]];

    const processors = data.processors.map(p => ({ name: 'P' + p.id, id: p.id, lane: unpack(p.items) }));
    const preemptions = {};
    for (const [p, time] of data.preemptions) (preemptions[p] ||= []).push(time);
    const lanes = data.lanes.map(l => {
      const [id, text] = data.goroutines[l.goroutine], lane = unpack(l.items), sums = [0, 0, 0, 0];
      for (let i = 0; i < lane.count; i++) if (what(lane, i) >= 0) sums[what(lane, i)] += busy(lane, i);
      return { id, place: l.goroutine, name: data.texts[text] || '(unknown)', lane, sums };
    });
    let rows = lanes;

    // What the program has named: a strip in a goroutine's lane for each region, a bar for each task, a dot for a message.
    const TASK = 15, TASKROWS = 12;
    const regions = {}, logs = {}, taskNames = new Map(), taskEnds = [];
    for (const [place, task, name, start, end] of data.regions) (regions[place] ||= []).push({ task, name: data.texts[name], start, end });
    for (const [place, time, category, message] of data.logs) (logs[place] ||= []).push({ time, category: data.texts[category], message: data.texts[message] });
    const tasks = data.tasks.map(([id, parent, name, start, end]) => {
      taskNames.set(id, data.texts[name]);
      let row = taskEnds.findIndex(t => t <= start);
      if (row < 0) row = Math.min(taskEnds.length, TASKROWS - 1);
      taskEnds[row] = Math.max(taskEnds[row] || 0, end);
      return { id, parent, name: data.texts[name], start, end, row };
    });

    const hues = new Map();
    function functionColor(name) {
      let color = hues.get(name);
      if (!color) hues.set(name, color = `hsl(${(hues.size * 137.5 + 145) % 360} 48% ${54 + (hues.size % 3) * 6}%)`);
      return color;
    }
    for (const lane of [...lanes].sort((a, b) => b.sums[1] - a.sums[1])) functionColor(lane.name);
    function spanColor(lane, i) {
      const activity = what(lane, i);
      if (activity < 0) return MANY;
      if (activity === 3) for (const [pattern, color] of REASONS) if (pattern.test(reason(lane, i))) return color;
      return COLORS[activity];
    }
    function goroutineName(place) {
      const [id, text] = data.goroutines[place];
      return [id, data.texts[text] || '(unknown)'];
    }

    // What is in view, in nanoseconds.
    let from = 0, to = Math.max(data.duration, 1);
    let width = 0;
    const x = time => LABEL + (time - from) / (to - from) * (width - LABEL);
    const timeAt = px => from + (px - LABEL) / (width - LABEL) * (to - from);
    function show(a, b) {
      const length = Math.min(Math.max(b - a, 50), Math.max(data.duration * 1.02, 100));
      a = Math.min(Math.max((a + b - length) / 2, -0.01 * data.duration), data.duration * 1.01 - length);
      [from, to] = [a, a + length];
      redraw();
    }
    function zoom(factor, px) { const t = timeAt(px); show(t - (t - from) * factor, t + (to - t) * factor); }

    function firstFrom(lane, time) {
      let [low, high] = [0, lane.count];
      while (low < high) { const middle = (low + high) >> 1; if (lane.end[middle] < time) low = middle + 1; else high = middle; }
      return low;
    }

    function drawLane(g, lane, y, height, color, label) {
      let columnEnd = -1;
      for (let i = firstFrom(lane, from); i < lane.count && lane.start[i] <= to; i++) {
        const a = Math.max(x(lane.start[i]), LABEL), b = Math.min(x(lane.end[i]), width), w = b - a;
        if (w < 1 && b <= columnEnd) continue;
        g.fillStyle = color(lane, i);
        if (w < 1) {
          columnEnd = Math.floor(a) + 1;
          g.fillRect(Math.floor(a), y, 1, height);
        } else {
          g.fillRect(a, y, w > 3 ? w - 0.5 : w, height);
          if (label && w > 34) label(lane, i, a, w, y);
        }
      }
    }

    function prepare(canvas, w, h) {
      const scale = window.devicePixelRatio || 1;
      canvas.style.width = w + 'px'; canvas.style.height = h + 'px';
      canvas.width = w * scale; canvas.height = h * scale;
      const g = canvas.getContext('2d');
      g.scale(scale, scale);
      g.clearRect(0, 0, w, h);
      g.textBaseline = 'middle';
      g.font = '11px system-ui, sans-serif';
      return g;
    }
    function fit(g, text, space) {
      if (g.measureText(text).width <= space) return text;
      const letters = Math.floor(space / 5.6);
      return letters < 4 ? '' : text.slice(0, letters - 1) + '…';
    }

    function ticks() {
      const wish = (to - from) / Math.max((width - LABEL) / 130, 1), power = 10 ** Math.floor(Math.log10(wish));
      const step = [1, 2, 5, 10].map(f => f * power).find(s => s >= wish), result = [];
      for (let t = Math.ceil(from / step) * step; t <= to; t += step) result.push(t);
      return result;
    }
    function grid(g, height, top) {
      g.strokeStyle = '#edf0f3';
      for (const t of ticks()) { const px = Math.round(x(t)) + 0.5; if (px < LABEL) continue; g.beginPath(); g.moveTo(px, top); g.lineTo(px, height); g.stroke(); }
    }

    function drawProcessors() {
      const height = AXIS + PHASE + processors.length * TALL + taskEnds.length * TASK + 6, g = prepare($('processors'), width, height);
      grid(g, height, AXIS - 4);
      g.fillStyle = '#6b7785';
      for (const t of ticks()) if (x(t) >= LABEL) g.fillText(t ? duration(t) : '0', x(t) + 3, 11);
      g.fillText('stopped, collecting', 16, AXIS + PHASE / 2);
      for (const [a, b, kind] of data.phases) {
        if (b < from || a > to) continue;
        g.fillStyle = kind.startsWith('stop') ? '#d1495b' : '#f2c14e';
        const left = Math.max(x(a), LABEL);
        g.fillRect(left, AXIS + 2, Math.max(Math.min(x(b), width) - left, 1.5), PHASE - 4);
      }
      drawTasks(g, AXIS + PHASE + processors.length * TALL);
      processors.forEach((p, index) => {
        const y = AXIS + PHASE + index * TALL;
        g.fillStyle = '#f1f4f7';
        g.fillRect(LABEL, y + 1, width - LABEL, TALL - 3);
        g.fillStyle = '#1d2733';
        g.fillText(p.name, 16, y + TALL / 2 - 1);
        drawLane(g, p.lane, y + 1, TALL - 3, (l, i) => what(l, i) < 0 ? MANY : functionColor(goroutineName(what(l, i))[1]), (l, i, a, w, y) => {
          const [id, name] = what(l, i) < 0 ? ['', number(l, i) + ' runs'] : goroutineName(what(l, i));
          g.fillStyle = '#10161d';
          g.fillText(fit(g, w > 90 ? `${id} ${name}` : `${id || name}`, w - 8), a + 4, y + TALL / 2 - 1);
        });
        g.fillStyle = '#b3261e';
        let last = -9;
        for (const t of preemptions[p.id] || []) {
          const px = x(t);
          if (t < from || t > to || px - last < 2) continue;
          last = px;
          g.beginPath(); g.moveTo(px - 3, y + TALL - 1); g.lineTo(px + 3, y + TALL - 1); g.lineTo(px, y + TALL - 8); g.fill();
        }
      });
    }

    function drawMarks(g, place, y) {
      for (const r of regions[place] || []) {
        if (r.start > to) break;
        if (r.end < from) continue;
        const a = Math.max(x(r.start), LABEL);
        g.fillStyle = functionColor(r.name);
        g.fillRect(a, y + ROW - 6, Math.max(Math.min(x(r.end), width) - a, 1), 4);
      }
      g.fillStyle = '#10161d';
      let last = -9;
      for (const l of logs[place] || []) {
        const px = x(l.time);
        if (l.time < from || l.time > to || px - last < 2) continue;
        last = px;
        g.fillRect(px - 1, y + 2, 2, 5);
      }
    }

    function drawTasks(g, top) {
      if (!tasks.length) return;
      g.fillStyle = '#6b7785';
      g.fillText('tasks', 16, top + TASK / 2);
      for (const t of tasks) {
        if (t.start > to) break;
        if (t.end < from) continue;
        const a = Math.max(x(t.start), LABEL), w = Math.max(Math.min(x(t.end), width) - a, 1), y = top + t.row * TASK;
        g.fillStyle = functionColor(t.name);
        g.fillRect(a, y + 1, w > 3 ? w - 0.5 : w, TASK - 3);
        if (w > 34) { g.fillStyle = '#10161d'; g.fillText(fit(g, t.name, w - 8), a + 4, y + TASK / 2); }
      }
    }

    function drawGoroutines() {
      const scroller = $('scroller'), height = Math.max(scroller.clientHeight, 40), first = Math.floor(scroller.scrollTop / ROW);
      $('extent').style.height = Math.max(rows.length * ROW + 6, height) + 'px';
      const g = prepare($('goroutines'), width, height), offset = first * ROW - scroller.scrollTop;
      grid(g, height, 0);
      for (let i = first; i < rows.length && (i - first) * ROW + offset < height; i++) {
        const row = rows[i], y = (i - first) * ROW + offset;
        g.fillStyle = functionColor(row.name);
        g.fillRect(8, y + 4, 4, ROW - 8);
        g.fillStyle = '#1d2733';
        g.fillText(fit(g, `${row.id} ${row.name}`, LABEL - 24), 16, y + ROW / 2);
        drawLane(g, row.lane, y + 2, ROW - 4, spanColor, (l, i, a, w, y) => {
          const text = what(l, i) === 3 ? reason(l, i) : '';
          if (text && w > 70) { g.fillStyle = '#3d4a58'; g.fillText(fit(g, text, w - 8), a + 4, y + ROW / 2 - 2); }
        });
        drawMarks(g, row.place, y);
      }
    }

    let waiting = false;
    function redraw() {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; drawAll(); });
    }
    function drawAll() { width = $('scroller').clientWidth; drawProcessors(); drawGoroutines(); }

    // What is under the mouse: a lane, and which of its items.
    function find(event) {
      const box = event.target.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
      let lane, owner, phase;
      if (event.target.id === 'processors') {
        const time = timeAt(px), slack = (to - from) / width * 2;
        if (py >= AXIS && py < AXIS + PHASE) phase = data.phases.find(f => f[0] - slack <= time && time <= f[1] + slack);
        owner = processors[Math.floor((py - AXIS - PHASE) / TALL)];
        const row = Math.floor((py - AXIS - PHASE - processors.length * TALL) / TASK);
        const task = row >= 0 && tasks.findLast(t => t.row === row && t.start - slack <= time && time <= t.end + slack);
        if (task) return { task, start: task.start, end: task.end };
      } else {
        owner = rows[Math.floor((py + $('scroller').scrollTop) / ROW)];
      }
      if (phase) return { phase, start: phase[0], end: phase[1] };
      if (!owner || px < LABEL && event.target.id === 'processors') return null;
      if (px < LABEL) return { owner, start: 0, end: data.duration };
      lane = owner.lane;
      const time = timeAt(px), slack = (to - from) / width;
      const i = firstFrom(lane, time - slack);
      return i < lane.count && lane.start[i] <= time + slack ? { owner, lane, i, time, slack, start: lane.start[i], end: lane.end[i] } : null;
    }
    function describe(hit) {
      if (hit.task) {
        const { id, parent, name } = hit.task;
        return `<b>task ${id} ${escape(name)}</b>\n${duration(hit.end - hit.start)} at ${duration(hit.start)}` +
          (parent ? `\na part of task ${parent} ${escape(taskNames.get(parent) || '')}` : '');
      }
      if (hit.phase) return `<b>${hit.phase[2]}</b>\n${duration(hit.end - hit.start)} at ${duration(hit.start)}`;
      const sums = o => ACTIVITIES.map((a, i) => `${a} ${duration(o.sums[i])}`).join(' · ');
      if (!hit.lane) return `<b>goroutine ${hit.owner.id} ${escape(hit.owner.name)}</b>\n${sums(hit.owner)}`;
      const { lane, i } = hit, when = `${duration(hit.end - hit.start)} at ${duration(hit.start)}`;
      if (number(lane, i) > 1) return `<b>${number(lane, i)} spans</b> too short for this page, in ${when}\n${duration(busy(lane, i))} of it in use`;
      const frames = escape(stack(lane, i).slice(0, 8).join('\n'));
      if (hit.owner.sums) {
        const why = reason(lane, i), made = data.goroutines[hit.owner.place];
        return `<b>goroutine ${hit.owner.id} ${escape(hit.owner.name)}</b>\n${ACTIVITIES[what(lane, i)]}${why ? ': ' + escape(why) : ''}, ${when}` +
          said(hit) + (frames ? '\n' + frames : '') + (made[2] ? `\ncreated by goroutine ${made[2]}` : '');
      }
      const [id, name] = goroutineName(what(lane, i));
      return `<b>goroutine ${id} ${escape(name)}</b>\nruns on ${hit.owner.name} for ${when}`;
    }

    // The regions that the goroutine is in at that time, the outermost first, and the messages nearby.
    function said({ owner, time, slack }) {
      const within = (regions[owner.place] || []).filter(r => r.start - slack <= time && time <= r.end + slack);
      const near = (logs[owner.place] || []).filter(l => Math.abs(l.time - time) <= 3 * slack).slice(0, 4);
      return within.map(r => `\nregion ${escape(r.name)}, ${duration(r.end - r.start)}` +
        (r.task ? ` of task ${r.task} ${escape(taskNames.get(r.task) || '')}` : '')).join('') +
        near.map(l => `\n${escape(l.category)}: ${escape(l.message)}`).join('');
    }

    let drag = null;
    for (const canvas of [$('processors'), $('goroutines')]) {
      canvas.addEventListener('mousedown', e => { drag = { px: e.clientX, from, to }; $('tip').style.display = 'none'; });
      canvas.addEventListener('mousemove', e => {
        if (drag) return;
        const hit = find(e), tip = $('tip');
        tip.style.display = hit ? 'block' : 'none';
        if (!hit) return;
        tip.innerHTML = describe(hit);
        tip.style.left = Math.min(e.clientX + 14, innerWidth - tip.offsetWidth - 8) + 'px';
        tip.style.top = (e.clientY + 18 + tip.offsetHeight > innerHeight ? Math.max(e.clientY - tip.offsetHeight - 10, 4) : e.clientY + 18) + 'px';
      });
      canvas.addEventListener('mouseleave', () => { $('tip').style.display = 'none'; });
      canvas.addEventListener('dblclick', e => { const hit = find(e); if (hit) { const pad = (hit.end - hit.start) * 0.2 + 20; show(hit.start - pad, hit.end + pad); } });
      canvas.addEventListener('wheel', e => {
        if (Math.abs(e.deltaX) > Math.abs(e.deltaY)) { const d = e.deltaX / width * (to - from); show(from + d, to + d); e.preventDefault(); return; }
        if (canvas.id === 'goroutines' && !e.ctrlKey) return;
        zoom(Math.exp(e.deltaY * 0.0015), e.clientX);
        e.preventDefault();
      }, { passive: false });
    }
    window.addEventListener('mousemove', e => {
      if (!drag) return;
      const d = (drag.px - e.clientX) / (width - LABEL) * (drag.to - drag.from);
      show(drag.from + d, drag.to + d);
    });
    window.addEventListener('mouseup', () => { drag = null; });
    window.addEventListener('resize', redraw);
    window.addEventListener('keydown', e => {
      if (e.target.tagName === 'INPUT') return;
      const step = (to - from) * 0.2, middle = (LABEL + width) / 2;
      if (e.key === 'w') zoom(0.7, middle);
      if (e.key === 's') zoom(1.4, middle);
      if (e.key === 'a') show(from - step, to - step);
      if (e.key === 'd') show(from + step, to + step);
      if (e.key === '0') show(0, data.duration);
    });
    $('scroller').addEventListener('scroll', redraw);

    function choose() {
      const text = $('filter').value.toLowerCase(), order = +$('order').value;
      rows = lanes.filter(l => !text || l.name.toLowerCase().includes(text) || String(l.id) === text);
      if (order === 1) rows = [...rows].sort((a, b) => b.sums[1] - a.sums[1]);
      if (order === 2) rows = [...rows].sort((a, b) => b.sums[0] - a.sums[0]);
      if (order === 3) rows = [...rows].sort((a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : a.id - b.id);
      $('shown').textContent = `${rows.length} of ${data.goroutineCount}` + (lanes.length < data.goroutineCount ? `, of which the ${lanes.length} with the most events have lanes` : '');
      $('scroller').scrollTop = 0;
      redraw();
    }
    $('filter').addEventListener('input', choose);
    $('order').addEventListener('change', choose);

    $('title').textContent = data.title;
    $('facts').textContent = `${duration(data.duration)} · ${data.events} events · ${data.goroutineCount} goroutines · ${processors.length} processors · ` +
      `${data.preemptions.length} preemptions · scheduling latency ${['50 %', '90 %', '99 %', 'max'].map((n, i) => `${n} ${duration(data.latency[i])}`).join(', ')}` +
      (data.resolution ? ` · spans shorter than ${duration(data.resolution)} are shown together` : '');
    $('legend').innerHTML = [['running', COLORS[1]], ['runnable', COLORS[0]], ['system call', COLORS[2]], ['blocked: channels', REASONS[1][1]],
      ['network', REASONS[0][1]], ['locks', REASONS[2][1]], ['sleep', REASONS[3][1]], ['other', COLORS[3]], ['▲ preempted', '#b3261e'],
      ['world stopped', '#d1495b'], ['collection', '#f2c14e'], ['several', MANY]].map(([n, c]) => `<span><i style="background:${c}"></i>${n}</span>`).join('');
    choose();
    """#
}
