// The page of Tallyman. It speaks the agent's API below api/v1/ and keeps all of
// a view's state in the address behind the #, so that each view is a link.
//
// What comes from containers is text and nothing else: it reaches the document
// as text nodes only, see h().

// The browser's work grows with rows, not with lines: so there are few, however many lines come.
const KEPT_LINES = 20000; // lines in memory
const KEPT_CHARS = 12e6; // and characters
const DRAWN_ROWS = 500; // rows while following
const FLOOD_ROWS = 100; // while so many come that none can be read
const MAX_ROWS = 600; // rows while reading back
const STEP_ROWS = 150; // rows that are added at an edge
const LINE_CHARS = 16384; // of a line in memory
const ROW_CHARS = 2048; // of a line in a row; its details show the rest
const FIRST_LINES = 500; // lines of the past that a view begins with
const WANTED_HITS = 200; // a search into the past stops here
const DRAW_MS = 250;
const POLL_MS = 2000;
const SILENCE_MS = 40000; // the agent pings every 15 s

/* The document */

const $ = (id) => document.getElementById(id);
const on = (target, type, listener, options) => target.addEventListener(type, listener, options);
const box = (element) => element.getBoundingClientRect();

// h makes an element of a tag with classes ("p.hint"). Properties may be left out; those
// that begin with "on" are listeners, others attributes. Children are nodes or text, which
// is never parsed. Null, undefined and false are passed over.
function h(tag, ...children) {
	const [name, ...classes] = tag.split('.');
	const element = document.createElement(name);
	if (classes.length) element.className = classes.join(' ');
	const none = (value) => (value ?? false) === false;
	if (children[0]?.constructor === Object) {
		for (const [key, value] of Object.entries(children.shift())) {
			if (key.startsWith('on')) on(element, key.slice(2), value);
			else if (!none(value)) element.setAttribute(key, value === true ? '' : value);
		}
	}
	element.append(...children.filter((child) => !none(child)));
	return element;
}

// setText leaves a text that is right already, and with it the reader's selection.
function setText(element, text) {
	if (element.textContent !== text) element.textContent = text;
}

function setAttribute(element, name, value) {
	if (value === null) element.removeAttribute(name);
	else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

// arrange moves as few children as it can: one that is moved loses the focus.
function arrange(parent, children) {
	let at = parent.firstChild;
	for (const child of children) {
		if (child === at) at = at.nextSibling;
		else parent.insertBefore(child, at);
	}
	while (at?.nextSibling) at.nextSibling.remove();
	at?.remove();
}

const press = (button, on) => button.setAttribute('aria-pressed', on);

function say(text) { setText($('status'), text); }

/* Numbers and times */

const grouped = new Intl.NumberFormat('en-GB');
const count = (n) => grouped.format(n);
const plural = (n, word) => `${count(n)} ${word}${n === 1 ? '' : 's'}`;

function bytes(n) {
	if (n == null) return '–';
	const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
	let i = 0;
	for (; Math.abs(n) >= 1000 && i < units.length - 1; i++) n /= 1024;
	return `${i === 0 || Math.abs(n) >= 100 ? Math.round(n) : n.toFixed(1)} ${units[i]}`;
}

// short writes bytes a second for a narrow place.
const short = (n) => bytes(n).replace(/ ?i?B/, '');
const percent = (n) => (n == null ? '–' : `${n < 9.95 ? n.toFixed(1) : Math.round(n)} %`);

function perSecond(n) {
	if (!n) return '0';
	return n < 9.95 ? n.toFixed(1) : count(Math.round(n));
}

function duration(seconds) {
	if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
	for (const [size, word, small, less] of [[86400, 'd', 3600, 'h'], [3600, 'h', 60, 'min'], [60, 'min', 1, 's']]) {
		if (seconds < size) continue;
		const rest = Math.floor((seconds % size) / small);
		return `${Math.floor(seconds / size)} ${word}${rest ? ` ${rest} ${less}` : ''}`;
	}
	return `${Math.floor(seconds)} s`;
}

// clocks write times as 2026-11-21 14:02:11.
const [local, utc] = [undefined, 'UTC'].map((timeZone) => new Intl.DateTimeFormat('sv', { dateStyle: 'short', timeStyle: 'medium', timeZone }));
const written = (time) => (choices.time === 'utc' ? utc : local).format(time);
const dayOf = (time) => written(time).slice(0, 10);
const clockOf = (time) => written(time).slice(11);

// stamp writes a line's time to the millisecond, with its day where that is not today.
function stamp(time, today) {
	const date = new Date(time);
	const text = written(date);
	return `${text.startsWith(today) ? text.slice(11) : text.slice(5)}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}

/* Choices that outlive the visit */

const choices = { theme: 'auto', wrap: true, time: 'local' };

function loadChoices() {
	try {
		const saved = JSON.parse(localStorage.getItem('tallyman') ?? '{}');
		for (const key of Object.keys(choices)) if (typeof saved[key] === typeof choices[key]) choices[key] = saved[key];
	} catch { /* Storage is closed to us or holds something else: the defaults stay. */ }
}

function choose(key, value) {
	choices[key] = value;
	try {
		localStorage.setItem('tallyman', JSON.stringify(choices));
	} catch { /* The choice holds until the page is left. */ }
}

const THEMES = ['auto', 'light', 'dark'];

function applyTheme() {
	document.documentElement.dataset.theme = choices.theme;
	const button = $('theme');
	setText(button, { auto: '◐', light: '☀', dark: '☾' }[choices.theme]);
	button.title = `Theme: ${choices.theme}`;
	palette.clear();
	redraw();
}

function redraw() {
	view?.refresh();
	view?.charts?.draw();
	view?.list?.draw();
}

const palette = new Map();

// colour returns what a colour of the style sheet is in the theme of now, for canvases.
function colour(name) {
	if (!palette.has(name)) {
		const probe = h('i');
		probe.style.color = `var(${name})`;
		document.body.append(probe);
		palette.set(name, getComputedStyle(probe).color);
		probe.remove();
	}
	return palette.get(name);
}

/* The agent */

const given = (value) => (value ?? '') !== '';

function apiURL(path, params = {}) {
	const url = new URL(`api/v1/${path}`, location.href.split('#')[0]);
	for (const [key, value] of Object.entries(params)) if (given(value)) url.searchParams.set(key, value);
	return url.href;
}

// refusal makes an error of an answer; it is final when asking again would not help.
async function refusal(response) {
	let text = `the agent answers with status ${response.status}`;
	try {
		text = (await response.json()).error || text;
	} catch { /* A proxy's page, say: the status has to do. */ }
	const final = response.status >= 400 && response.status < 500 && response.status !== 429 && response.status !== 408;
	return Object.assign(new Error(text), { final });
}

async function get(path, params, signal) {
	const response = await fetch(apiURL(path, params), { signal: AbortSignal.any([AbortSignal.timeout(15000), ...signal ? [signal] : []]) });
	if (!response.ok) throw await refusal(response);
	return response.json();
}

// events yields the events of a stream (WHATWG HTML, section 9.2); the API's data has one line.
// An event that the connection's end has cut off is left out, so that its id never counts.
// heard is called whenever something arrives.
async function* events(body, heard) {
	const reader = body.pipeThrough(new TextDecoderStream()).getReader();
	let rest = '';
	for (;;) {
		const { value, done } = await reader.read();
		if (done) return;
		heard();
		rest += value;
		const parts = rest.split('\n\n');
		rest = parts.pop();
		for (const part of parts) {
			const event = {};
			for (const line of part.split('\n')) {
				const [, key, text] = line.match(/^(\w+): ?(.*)/s) ?? [];
				event[key] = text;
			}
			yield event;
		}
	}
}

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

// store is what is known of the host, asked for every two seconds while the page is seen.
const store = {
	host: null, containers: [], routes: null, problem: '',
	recent: new Map(), // container's id → points of the last five minutes
};
const RECENT_MS = 5 * 60000;

function container(name) {
	return store.containers.find((c) => c.name === name) ?? store.containers.find((c) => name.length > 7 && c.id.startsWith(name));
}

async function poll() {
	for (;;) {
		if (document.hidden) {
			await new Promise((resolve) => on(document, 'visibilitychange', resolve, { once: true }));
			continue;
		}
		try {
			const [host, list, routes] = await Promise.all([get('host'), get('containers').catch(() => 0), get('routes')]);
			store.host = host;
			store.containers = list.containers ?? store.containers; // They may not be known yet.
			store.routes = routes.routes ?? [];
			store.problem = '';
			remember();
		} catch (error) {
			store.problem = `The agent does not answer: ${error.message}. Trying again.`;
		}
		showHost();
		view?.refresh();
		await pause(POLL_MS);
	}
}

function remember() {
	const now = Date.now();
	const alive = new Set();
	for (const c of store.containers) {
		alive.add(c.id);
		const points = store.recent.get(c.id) ?? [];
		if (c.now) points.push({ t: now, cpu_percent: c.now.cpu_percent, memory_bytes: c.now.memory_bytes });
		while (points.length && points[0].t < now - RECENT_MS) points.shift();
		store.recent.set(c.id, points);
	}
	for (const id of store.recent.keys()) if (!alive.has(id)) store.recent.delete(id);
}

// fillRecent gives sparklines their past.
async function fillRecent(ids) {
	for (const id of ids.slice(0, 60)) {
		try {
			const { points } = await get(`containers/${id}/stats`, { window: '5m' });
			const live = store.recent.get(id) ?? [];
			const past = points.filter((_, i) => i % 4 === 0).map((p) => ({ ...p, t: Date.parse(p.t) }));
			store.recent.set(id, past.filter((p) => !live.length || p.t < live[0].t).concat(live));
		} catch { /* It begins with now, then. */ }
	}
	view?.refresh();
}

function showHost() {
	const { host, problem } = store;
	const banner = $('banner');
	setText(banner, problem);
	if (banner.hidden !== !problem) {
		banner.hidden = !problem;
		view?.list?.settle();
	}
	if (!host) return;
	setText($('host'), host.name);
	const down = store.routes.filter((r) => r.down).length;
	const pill = $('health');
	const [text, kind] = problem ? ['unreachable', 'bad'] : !host.healthy ? ['unhealthy', 'bad']
		: down ? [`${plural(down, 'route')} down`, 'warn'] : ['healthy', 'ok'];
	setText(pill, text);
	pill.className = `pill ${kind}`;
	pill.title = host.problem || '';
}

/* Addresses */

function parseHash() {
	const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
	const [view = '', ...rest] = path.split('/');
	let name = rest.join('/');
	try {
		name = decodeURIComponent(name);
	} catch { /* A stray %: it stays as it is. */ }
	return { view: view || 'top', name, params: Object.fromEntries(new URLSearchParams(query)) };
}

function hashOf(view, name = '', params = {}) {
	const query = new URLSearchParams(Object.entries(params).filter(([, value]) => given(value)));
	const path = view === 'top' ? '' : name ? `${view}/${encodeURIComponent(name)}` : view;
	return `#/${path}${query.size ? `?${query}` : ''}`;
}

const containerLink = (name) => hashOf('c', name);

// go changes parameters of the address.
function go(changes, replace = false) {
	const at = parseHash();
	const hash = hashOf(at.view, at.name, { ...at.params, ...changes });
	if (hash === location.hash) return;
	if (replace) history.replaceState(null, '', hash);
	else history.pushState(null, '', hash);
	show();
}

let view = null;

function show() {
	const at = parseHash();
	for (const tab of document.querySelectorAll('.tabs a')) setAttribute(tab, 'aria-current', tab.dataset.view === at.view ? 'page' : null);
	const key = `${at.view}/${at.name}${at.view === 'm' ? JSON.stringify([at.params.container, at.params.name]) : ''}`;
	if (view?.key === key) {
		view.update(at.params);
		return;
	}
	const first = view === null;
	view?.close();
	const make = { top: Overview, c: Logs, g: Logs, m: Logs, routes: Routes }[at.view] ?? Overview;
	view = new make(at);
	view.key = key;
	document.title = `${view.title} – Tallyman`;
	$('main').replaceChildren(view.element);
	view.open?.();
	view.refresh();
	if (!first) view.element.querySelector('h1')?.focus({ preventScroll: true });
}

/* A line's text */

// ESCAPES are those of ECMA-48: colours (the group), other sequences, strings, single ones.
const ESCAPES = /\x1b\[([0-9;:]*)m|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]?/g;
const CONTROLS = /[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]/g;

// visible shows characters that would not be seen as a picture of themselves.
function visible(text) {
	return text.replace(CONTROLS, (c) => {
		const code = c.charCodeAt(0);
		return code < 0x20 ? String.fromCharCode(0x2400 + code) : code === 0x7f ? '␡' : '�';
	});
}

// Codes that switch styles on and off (ECMA-48, section 8.3.117).
const STYLES = { 1: 'bold', 2: 'faint', 3: 'italic', 4: 'under', 7: 'inverse', 9: 'strike' };
const OFF = { 22: ['bold', 'faint'], 23: ['italic'], 24: ['under'], 27: ['inverse'], 29: ['strike'], 39: ['fg'], 49: ['bg'] };

// applyColours knows 256 and direct colours too (ITU-T T.416).
function applyColours(style, parameters) {
	const codes = parameters.split(/[;:]/).map(Number);
	for (let i = 0; i < codes.length; i++) {
		const code = codes[i];
		const key = [3, 9].includes(Math.floor(code / 10)) ? 'fg' : 'bg';
		const low = code % 10;
		if (code === 0) for (const name of Object.keys(style)) delete style[name];
		else if (STYLES[code]) style[STYLES[code]] = true;
		else if (OFF[code]) for (const name of OFF[code]) delete style[name];
		else if (low < 8 && [30, 40].includes(code - low)) style[key] = low;
		else if (low < 8 && [90, 100].includes(code - low)) style[key] = low + 8;
		else if (code === 38 || code === 48) {
			const direct = codes[i + 1] === 2;
			const n = codes[i += 2];
			const value = direct ? codes.slice(i, (i += 2) + 1) : n < 16 ? n : cube(n);
			if (value >= 0 || value.length === 3 && value.every((part) => part >= 0 && part < 256)) style[key] = value;
		}
	}
}

function cube(n) {
	if (n >= 232) return Array(3).fill(8 + (n - 232) * 10);
	const level = (i) => (i ? 55 + 40 * i : 0);
	return [level(Math.floor((n - 16) / 36)), level(Math.floor((n - 16) / 6) % 6), level((n - 16) % 6)];
}

// INKS are the colours of the theme that stand for the terminal's eight, and for names.
const INKS = ['dim', 'bad', 'ok', 'warn', 'accent', 'mem', 'in', 'text'];

// coloured makes an element of a style. Direct colours are mixed with those of the theme, so
// that they can be read in each.
function coloured(style) {
	const span = h('span', { class: Object.values(STYLES).filter((name) => style[name]).join(' ') });
	const ink = (value) => (value.length ? `rgb(${value.join(' ')})` : `var(--${value === 8 ? 'dim' : INKS[value % 8]})`);
	const { fg, bg } = style;
	if (fg !== undefined) span.style.color = fg.length ? `color-mix(in oklab, ${ink(fg)} 30%, var(--text))` : ink(fg);
	if (bg !== undefined) span.style.background = `color-mix(in oklab, ${ink(bg)} 15%, var(--panel))`;
	return span;
}

const LINKS = /https?:\/\/[^\s"'<>\x60\x00-\x20]+/g;

function writePlain(parent, text, search) {
	text = visible(text);
	if (!text.includes('://')) {
		writeMarked(parent, text, search);
		return;
	}
	let at = 0;
	for (const match of text.matchAll(LINKS)) {
		const address = match[0].replace(/[.,;:!?)\]}]+$/, '');
		writeMarked(parent, text.slice(at, match.index), search);
		const link = h('a', { href: address, target: '_blank', rel: 'noreferrer', tabindex: '-1' });
		writeMarked(link, address, search);
		parent.append(link);
		at = match.index + address.length;
	}
	writeMarked(parent, text.slice(at), search);
}

function writeMarked(parent, text, search) {
	if (!search) {
		if (text) parent.append(text);
		return;
	}
	let at = 0;
	for (const match of text.matchAll(search)) {
		if (!match[0]) continue;
		parent.append(text.slice(at, match.index), h('mark', match[0]));
		at = match.index + match[0].length;
	}
	if (at < text.length) parent.append(text.slice(at));
}

function writeText(parent, text, search) {
	if (!text.includes('\x1b') && !text.includes('\x9b')) {
		writePlain(parent, text, search);
		return;
	}
	const style = {};
	let at = 0;
	const write = (part) => {
		if (!part) return;
		if (Object.keys(style).length === 0) {
			writePlain(parent, part, search);
			return;
		}
		const span = coloured(style);
		writePlain(span, part, search);
		parent.append(span);
	};
	for (const match of text.matchAll(ESCAPES)) {
		write(text.slice(at, match.index));
		if (match[1] !== undefined) applyColours(style, match[1]);
		at = match.index + match[0].length;
	}
	write(text.slice(at));
}

const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

// tokensOf returns the tokens of a JSON object, else null. They are shown, not what they
// mean, so that long numbers and double keys are seen as they were written.
function tokensOf(text) {
	if (text[0] !== '{' || text.at(-1) !== '}') return null;
	try {
		JSON.parse(text);
	} catch {
		return null;
	}
	return text.match(TOKENS);
}

// What a field of a log line is for: HEADLINE says what happened, and ELSEWHERE is in the row's other columns.
const HEADLINE = /^(msg|message|event)$/i;
const ELSEWHERE = /^(@?timestamp|time|ts|level|lvl|severity)$/i;
const MAX_FIELDS = 40;
const FIELD_CHARS = 400;

// writeObject writes the tokens of an object in one line, as its message and key=value.
// It is false where that shows nothing, or nothing of what was searched for.
function writeObject(parent, tokens, search) {
	const fields = [];
	for (let at = 1, end; at < tokens.length - 1 && fields.length < MAX_FIELDS; at = end + 1) {
		let depth = 0;
		end = at + 2;
		do depth += '[{'.includes(tokens[end]) - ']}'.includes(tokens[end]); while (++end && depth > 0);
		fields.push([JSON.parse(tokens[at]), tokens.slice(at + 2, end).join('')]);
		if (end >= tokens.length - 1) break;
	}
	const cut = (text) => (text.length > FIELD_CHARS ? `${text.slice(0, FIELD_CHARS)}…` : text);
	const headline = fields.find(([key, value]) => HEADLINE.test(key) && value[0] === '"');
	if (headline) writeText(parent, cut(JSON.parse(headline[1])), search);
	for (const field of fields) {
		const [key, value] = field;
		if (field === headline || ELSEWHERE.test(key)) continue;
		if (parent.firstChild) parent.append(' ');
		parent.append(h('span.key', visible(key), '='));
		writePlain(parent, cut(/^"[^\s"\\=]+"$/.test(value) ? value.slice(1, -1) : value), search);
	}
	if (parent.firstChild && (!search || parent.querySelector('mark'))) return true;
	parent.replaceChildren();
	return false;
}

function prettyJSON(tokens) {
	const block = h('pre.json');
	let depth = 0;
	const newline = () => `\n${'  '.repeat(Math.min(depth, 40))}`;
	tokens.forEach((token, i) => {
		const next = tokens[i + 1];
		if (token === '{' || token === '[') {
			depth++;
			block.append(token, next === '}' || next === ']' ? '' : newline());
		} else if (token === '}' || token === ']') {
			depth--;
			block.append(tokens[i - 1] === '{' || tokens[i - 1] === '[' ? '' : newline(), token);
		} else if (token === ',') block.append(token, newline());
		else if (token === ':') block.append(': ');
		else {
			const kind = next === ':' ? 'key' : token[0] === '"' ? 'string' : 'number';
			block.append(h('span', { class: kind }, visible(token)));
		}
	});
	return block;
}

// searchOf returns what marks a search's hits, null for nothing: the agent's RE2 and the
// browser's expressions differ in rare cases.
function searchOf(q) {
	if (!q || q.startsWith('!')) return null;
	try {
		return new RegExp(q, /\p{Lu}/u.test(q) ? 'g' : 'gi');
	} catch {
		return null;
	}
}

const LEVELS = {
	trace: ['TRACE', 'faint'], debug: ['DEBUG', 'faint'], info: ['INFO', 'info'], notice: ['NOTE', 'info'], warning: ['WARN', 'warn'],
	error: ['ERROR', 'bad'], critical: ['CRIT', 'bad'], alert: ['ALERT', 'bad'], emergency: ['EMERG', 'bad'],
};

// entryOf makes what is kept of a line: of a long one only a copy of its beginning, since a
// slice would keep all of it in memory.
function entryOf(line) {
	let text = line.line;
	const length = text.length;
	if (length > LINE_CHARS) text = JSON.parse(JSON.stringify(text.slice(0, LINE_CHARS)));
	return {
		cursor: line.cursor, name: line.name, time: line.time, stream: line.stream,
		level: line.level, text, cut: length - text.length, row: null,
	};
}

function colourOfName(name) {
	let sum = 0;
	for (let i = 0; i < name.length; i++) sum = (sum * 31 + name.charCodeAt(i)) % 6;
	return `var(--${INKS[sum + 1]})`;
}

/* The list of lines */

// LineList shows a part of the lines that it keeps: the newest while it follows, and
// while it does not, those around where the reader is.
class LineList {
	entries = [];
	chars = 0;
	low = 0;
	high = 0;
	following = true;
	missed = 0;
	cutOff = false; // newer lines were left out: only a new beginning shows them
	search = null;
	current = null;
	widest = 8;
	timer = 0;
	lastDraw = 0;

	// owner is asked for more with reach(-1) or reach(1) when the reader comes to the first or last
	// entry, and told with showState() of changes. names is what their containers' names begin with,
	// false where rows have no names.
	constructor(owner, names) {
		Object.assign(this, { owner, names });
		this.rows = h('ol.lines');
		this.edge = h('div.edge');
		this.pane = h('div.pane', { role: 'log', 'aria-live': 'off', 'aria-label': 'Log lines', tabindex: '0' }, this.edge, this.rows);
		on(this.pane, 'scroll', () => this.scrolled(), { passive: true });
		on(this.pane, 'wheel', (e) => { if (e.deltaY < 0) this.stay(); }, { passive: true });
		on(this.rows, 'click', (e) => this.clicked(e));
		this.observer = new ResizeObserver(() => this.settle());
		this.observer.observe(this.pane);
	}

	close() {
		this.observer.disconnect();
		clearTimeout(this.timer);
	}

	clear() {
		this.entries = [];
		this.chars = this.low = this.high = this.missed = 0;
		this.cutOff = false;
		this.following = true;
		this.current = null;
		this.rows.replaceChildren();
		this.owner.showState();
	}

	// add appends lines. While the reader looks at the past, what there is no room for is left out at
	// the new end, and counted.
	add(entries) {
		if (!this.following) {
			this.missed += entries.length;
			if (this.cutOff || this.full()) {
				this.cutOff = true;
				this.owner.showState();
				return;
			}
		}
		for (const entry of entries) this.chars += entry.text.length;
		this.entries.push(...entries);
		if (this.following) {
			this.dropOld();
			this.drawSoon();
		} else this.owner.showState();
	}

	// remark adds a row that tells something of the lines around it.
	remark(note) { this.add([{ note, cursor: '', time: '', text: '', row: null }]); }

	full() { return this.entries.length >= KEPT_LINES || this.chars >= KEPT_CHARS; }

	dropOld() {
		if (this.entries.length < KEPT_LINES * 1.1 && this.chars < KEPT_CHARS * 1.1) return;
		let n = 0;
		for (; this.entries.length - n > KEPT_LINES || this.chars > KEPT_CHARS; n++) {
			this.chars -= this.entries[n].text.length;
			if (this.entries[n].row) this.release(this.entries[n]);
		}
		this.entries.splice(0, n);
		// They can be asked for again.
		this.owner.before = this.owner.begun = null;
		this.low = Math.max(0, this.low - n);
		this.high = Math.max(0, this.high - n);
	}

	// insert puts older lines before all others (where is -1) or newer ones behind them (1), and
	// keeps in place what is seen. It leaves out lines that are there, and returns how many were new.
	insert(entries, where) {
		const known = new Set(this.entries.map((entry) => entry.cursor));
		const fresh = entries.filter((entry) => !known.has(entry.cursor));
		for (const entry of fresh) this.chars += entry.text.length;
		if (where > 0) this.entries.push(...fresh);
		else {
			this.entries.unshift(...fresh);
			this.low += fresh.length;
			this.high += fresh.length;
			while (!this.following && this.entries.length > this.high + MAX_ROWS && this.full()) {
				this.chars -= this.entries.pop().text.length;
				this.cutOff = true;
			}
		}
		if (this.following) this.draw();
		else this.extend(where, STEP_ROWS);
		return fresh.length;
	}

	drawSoon() {
		if (this.timer) return;
		const wait = Math.max(0, this.lastDraw + DRAW_MS - performance.now());
		this.timer = setTimeout(() => {
			this.timer = 0;
			requestAnimationFrame(() => this.draw());
		}, wait);
	}

	draw() {
		if (!this.following || document.hidden) return;
		const high = this.entries.length;
		const flood = high - this.high > FLOOD_ROWS;
		this.window(Math.max(0, high - (flood ? FLOOD_ROWS : DRAWN_ROWS)), high);
		this.toEnd();
		this.lastDraw = performance.now();
		if (flood) this.drawSoon();
		this.owner.showState();
	}

	window(low, high) {
		this.today = dayOf(new Date());
		if (low >= this.high || high <= this.low) {
			for (let i = this.low; i < this.high; i++) this.release(this.entries[i]);
			this.rows.replaceChildren(...this.entries.slice(low, high).map((entry) => this.rowOf(entry)));
		} else {
			for (let i = this.low; i < low; i++) this.release(this.entries[i]);
			for (let i = high; i < this.high; i++) this.release(this.entries[i]);
			if (low < this.low) this.rows.prepend(...this.entries.slice(low, this.low).map((entry) => this.rowOf(entry)));
			if (high > this.high) this.rows.append(...this.entries.slice(this.high, high).map((entry) => this.rowOf(entry)));
		}
		this.low = low;
		this.high = high;
	}

	release(entry) {
		entry.row.remove();
		entry.row = null;
	}

	// extend adds rows at one edge, takes as many from the other, and keeps what is seen in place.
	extend(direction, n) {
		const low = direction < 0 ? Math.max(0, this.low - n) : Math.max(this.low, Math.min(this.entries.length, this.high + n) - MAX_ROWS);
		const high = direction < 0 ? Math.min(this.high, low + MAX_ROWS) : Math.min(this.entries.length, this.high + n);
		if (low === this.low && high === this.high) return;
		const anchor = this.firstSeen();
		const top = anchor && box(anchor).top;
		this.window(low, high);
		if (anchor?.isConnected) this.pane.scrollTop += box(anchor).top - top;
	}

	firstSeen() {
		const top = box(this.pane).top;
		let low = 0, high = this.rows.children.length;
		while (low < high) {
			const middle = (low + high) >> 1;
			if (box(this.rows.children[middle]).bottom > top) high = middle;
			else low = middle + 1;
		}
		return this.rows.children[low];
	}

	redraw() {
		const { low, high } = this;
		this.window(0, 0);
		this.window(low, high);
		this.settle();
	}

	atEnd(margin = 8) { return this.pane.scrollHeight - this.pane.scrollTop - this.pane.clientHeight < margin; }

	toEnd() {
		this.pane.scrollTop = this.pane.scrollHeight;
		this.end = this.pane.scrollTop;
	}

	// settle is called whenever the pane has another height: a moment later it may have the old one
	// again, but have been moved by the browser, as if by the reader.
	settle() { if (this.following) this.toEnd(); }

	scrolled() {
		if (this.following) {
			// When the pane has become smaller, the end has moved and not the reader.
			if (this.atEnd() || this.pane.scrollTop >= this.end) return;
			this.stay();
		}
		if (this.pane.scrollTop < 200) {
			if (this.low > 0) this.extend(-1, STEP_ROWS);
			else this.owner.reach(-1);
		} else if (this.atEnd(200)) {
			if (this.high < this.entries.length) this.extend(1, STEP_ROWS);
			else if (this.atEnd()) this.owner.reach(1);
		}
	}

	stay() {
		if (!this.following || this.entries.length === 0) return;
		this.following = false;
		this.missed = 0;
		this.owner.showState();
	}

	// follow goes on with the newest lines. It is false where they were left out.
	follow() {
		if (this.cutOff) return false;
		this.following = true;
		this.missed = 0;
		this.dropOld();
		this.draw();
		return true;
	}

	rowOf(entry) {
		if (entry.row) return entry.row;
		if (entry.note) {
			entry.row = h('li.note', entry.note);
			return entry.row;
		}
		const [word, kind] = LEVELS[entry.level] ?? [entry.stream === 'stderr' ? 'stderr' : '', ''];
		const row = h('li', { class: `line ${kind}`, 'data-cursor': entry.cursor, tabindex: '-1' });
		if (choices.time !== 'off') {
			row.append(h('a.time', { href: this.owner.linkOf(entry), tabindex: '-1' }, stamp(entry.time, this.today)), ' ');
		}
		if (this.names) {
			const short = entry.name.startsWith(this.names) ? entry.name.slice(this.names.length) : entry.name;
			const name = h('button.name', { tabindex: '-1', title: `Only ${entry.name}` }, short);
			if (short.length > this.widest) this.pane.style.setProperty('--name', `${Math.min(this.widest = short.length, 26)}ch`);
			name.style.color = colourOfName(entry.name);
			row.append(name, ' ');
		}
		row.append(h('span.level', word), ' ');
		const text = h('span.text');
		const tokens = entry.cut === 0 && tokensOf(entry.text);
		const whole = tokens && writeObject(text, tokens, this.search);
		const left = whole ? 0 : Math.max(0, entry.text.length - ROW_CHARS) + entry.cut;
		if (!whole) writeText(text, left ? entry.text.slice(0, ROW_CHARS) : entry.text, this.search);
		row.append(text);
		if (left > 0) row.append(' ', h('button.more', { tabindex: '-1' }, `+${left < 1024 ? left : `${Math.round(left / 1024)} K`}`));
		row.entry = entry;
		entry.row = row;
		return row;
	}

	clicked(event) {
		const row = event.target.closest('li.line');
		if (!row || event.target.closest('.details, a')) return;
		if (event.target.closest('.name')) {
			location.hash = containerLink(row.entry.name);
			return;
		}
		if (!getSelection().isCollapsed) return;
		this.stay();
		this.moveTo(row, false);
		this.toggle(row);
	}

	toggle(row) {
		const open = row.querySelector('.details');
		if (open) {
			open.remove();
			row.focus({ preventScroll: true });
			return;
		}
		const { entry } = row;
		const tokens = entry.cut === 0 ? tokensOf(entry.text) : null;
		let body;
		if (tokens) body = prettyJSON(tokens);
		else writeText(body = h('pre'), entry.text, this.search);
		row.append(h('div.details',
			h('p', `${local.format(new Date(entry.time))} here · ${entry.time} · ${entry.name} · ${entry.stream}${entry.level && entry.level !== 'unknown' ? ` · ${entry.level}` : ''}`),
			body,
			entry.cut > 0 ? h('p.hint', `${count(entry.cut)} more characters are in the download.`) : null,
			h('p.actions',
				h('button', { onclick: (e) => copy(entry.text, 'The line', e.target) }, 'Copy line'),
				h('button', { onclick: () => this.owner.context(entry) }, 'Show in context'))));
		row.scrollIntoView({ block: 'nearest' });
	}

	moveTo(row, scroll = true) {
		this.current?.classList.remove('current');
		this.current = row;
		row.classList.add('current');
		row.focus({ preventScroll: true });
		if (scroll) row.scrollIntoView({ block: 'nearest' });
	}

	step(n) {
		const rows = this.rows.children;
		if (rows.length === 0) return;
		this.stay();
		let at = this.current?.isConnected ? [...rows].indexOf(this.current) + n : n < 0 ? rows.length - 1 : [...rows].indexOf(this.firstSeen());
		at = Math.max(0, Math.min(rows.length - 1, at));
		this.moveTo(rows[at]);
		if (at === rows.length - 1 && n > 0 && this.high === this.entries.length) this.owner.reach(1);
	}

	toStart() {
		this.stay();
		if (this.low > 0) this.window(0, Math.min(this.entries.length, DRAWN_ROWS));
		this.pane.scrollTop = 0;
		this.scrolled();
	}

	find(cursor) {
		const at = this.entries.findIndex((entry) => entry.cursor === cursor);
		if (at < 0) return null;
		this.window(Math.max(0, at - DRAWN_ROWS / 2), Math.min(this.entries.length, at + DRAWN_ROWS / 2));
		return this.entries[at].row;
	}
}

/* Charts */

const GAP_MS = 30000; // while nobody looks, there is a point in ten seconds

// paint prepares a canvas in the screen's own pixels, null while it is not seen.
function paint(canvas) {
	const { clientWidth: width, clientHeight: height } = canvas;
	if (!width || !height) return null;
	const scale = devicePixelRatio || 1;
	if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
		canvas.width = Math.round(width * scale);
		canvas.height = Math.round(height * scale);
	}
	const pen = canvas.getContext('2d');
	pen.setTransform(scale, 0, 0, scale, 0, 0);
	pen.clearRect(0, 0, width, height);
	return { pen, width, height };
}

function trace(pen, points, key, x, y, gap, base) {
	const runs = [];
	let last = -Infinity;
	for (const p of points) {
		if (typeof p[key] !== 'number') continue;
		if (p.t - last > gap) runs.push([]);
		runs.at(-1).push([x(p.t), y(p[key])]);
		last = p.t;
	}
	const path = (run) => {
		pen.beginPath();
		run.forEach(([px, py], i) => (i ? pen.lineTo(px, py) : pen.moveTo(px, py)));
	};
	for (const run of runs) {
		if (base !== undefined) {
			path(run);
			pen.lineTo(run.at(-1)[0], base);
			pen.lineTo(run[0][0], base);
			pen.globalAlpha = 0.13;
			pen.fill();
			pen.globalAlpha = 1;
		}
		path(run);
		pen.stroke();
	}
}

function spark(canvas, points, key, name, least) {
	const area = paint(canvas);
	if (!area || points.length < 2) return;
	const { pen, width, height } = area;
	const now = points.at(-1).t;
	let top = least;
	for (const p of points) top = Math.max(top, p[key] ?? 0);
	pen.strokeStyle = pen.fillStyle = colour(name);
	pen.lineWidth = 1.25;
	trace(pen, points, key, (t) => width - ((now - t) / RECENT_MS) * width, (v) => height - 1 - (v / top) * (height - 2.5), GAP_MS, height);
}

// happened tells what an event of a container is, and its colour; undefined where it changes nothing.
const happened = ({ what, exit_code: code, health }) => ({
	start: ['started', '--ok'], die: [`ended, exit code ${code}`, code ? '--bad' : '--dim'], oom: ['out of memory', '--bad'],
	health: [health, health === 'unhealthy' ? '--bad' : '--ok'], pause: ['paused', '--warn'], unpause: ['went on', '--ok'],
})[what];

// A chart shows one or two series over time. The pointer and the arrow keys pick a time in all charts of
// its set; a click or Enter goes to the lines of then.
class Chart {
	constructor(set, title, series, format, least, axis = format) {
		Object.assign(this, { set, title, series, format, least, axis });
		this.canvas = h('canvas', { role: 'img', tabindex: '0', 'aria-label': title, title: 'Click for the lines of this time',
			onpointermove: (e) => set.pick(set.end - (1 - e.offsetX / this.canvas.clientWidth) * set.windowMS),
			onpointerleave: () => set.pick(null), onblur: () => set.pick(null),
			onclick: () => set.time && goToTime(set.time),
			onkeydown: (e) => this.pressed(e) });
		this.values = h('span.values');
		this.element = h('figure.chart', h('figcaption', h('b', title), this.values), this.canvas);
	}

	pressed(event) {
		const { set } = this;
		const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
		if (!step && event.key !== 'Enter' || !set.points.length) return;
		event.preventDefault();
		event.stopPropagation();
		if (!step) goToTime(set.time ?? set.end);
		else {
			const last = set.points.length - 1;
			set.pick(set.points[Math.max(0, Math.min(last, (set.time === null ? last : set.index()) + step))].t);
			const now = set.points[set.index()];
			say(`${clockOf(new Date(now.t))}: ${this.told(now)}`);
		}
	}

	told(p) { return this.series.map((s) => s.label + this.format(p[s.key])).join(', '); }

	draw(limit) {
		const { points, end, windowMS, time } = this.set;
		const last = points.at(-1);
		const shown = time === null ? last : points[this.set.index()];
		this.values.replaceChildren(...(shown ? this.series.map((s) => h('span.value',
			h('i', { class: `swatch ${s.swatch}` }), s.label + this.format(shown[s.key]))) : ['no data yet']));
		const most = Math.max(0, ...points.flatMap((p) => this.series.map((s) => p[s.key] ?? 0)));
		this.canvas.setAttribute('aria-label', shown
			? `${this.title}: now ${this.told(last)}; at most ${this.format(most)} in ${duration(windowMS / 1000)}. Arrow keys tell values, Enter shows the lines of then.`
			: `${this.title}: no data yet`);
		const area = paint(this.canvas);
		if (!area) return;
		const { pen, width, height } = area;
		const shownLimit = limit && most > limit / 10 ? limit : 0;
		const top = Math.max(most * 1.1, this.least, shownLimit * 1.05);
		const bottom = height - 15;
		const x = (t) => width - ((end - t) / windowMS) * width;
		const y = (v) => bottom - (v / top) * (bottom - 8);
		const fill = (name, ...sides) => { pen.fillStyle = colour(name); pen.fillRect(...sides); };
		const parts = [0, 0.5, 1];
		const lineOf = (part) => Math.round(bottom - part * (bottom - 8));
		for (const part of parts) fill('--line', 0, lineOf(part), width, 1);
		if (shownLimit) for (let at = 0; at < width; at += 8) fill('--bad', at, Math.round(y(shownLimit)), 4, 1);
		pen.lineWidth = 1.5;
		this.series.forEach((s, i) => {
			pen.strokeStyle = pen.fillStyle = colour(`--${s.swatch}`);
			trace(pen, points, s.key, x, y, Math.max(GAP_MS, this.set.interval * 3000), i === 0 ? bottom : undefined);
		});
		for (const mark of this.set.marks) {
			const [, name] = happened(mark);
			const place = Math.round(x(mark.t));
			for (let at = 8; at < bottom; at += 4) fill(name, place, at, 1, 2);
			pen.beginPath();
			pen.arc(place + 0.5, 5, 3, 0, 7);
			pen.fill();
		}
		if (time !== null) fill('--text', x(time), 8, 1, bottom - 8);
		// Letters have a rim, so that they can be read on curves.
		const write = (text, ...place) => {
			pen.strokeStyle = colour('--panel');
			pen.fillStyle = colour('--dim');
			pen.strokeText(text, ...place);
			pen.fillText(text, ...place);
		};
		pen.font = '10.5px system-ui, sans-serif';
		pen.lineWidth = 3;
		for (const part of parts) {
			pen.textAlign = 'left';
			if (part) write(this.axis(top * part), 2, lineOf(part) + 11);
			pen.textAlign = ['left', 'center', 'right'][part * 2];
			write(clockOf(new Date(end - (1 - part) * windowMS)).slice(0, windowMS > 600000 ? 5 : 8), width * part, height - 3);
		}
	}
}

// WINDOWS are the stretches of time there are, in seconds, and how many polls lie between two looks.
const WINDOWS = { '5m': [300, 1], '1h': [3600, 5], '24h': [86400, 30] };

class Charts {
	points = [];
	events = [];
	marks = [];
	time = null; // the one that is picked
	turn = 0;

	// told is called with an event of the container when it is new.
	constructor(nameOf, told) {
		Object.assign(this, { nameOf, told });
		this.charts = [
			new Chart(this, 'CPU', [{ key: 'cpu_percent', label: '', swatch: 'cpu' }], percent, 5),
			new Chart(this, 'Memory', [{ key: 'memory_bytes', label: '', swatch: 'mem' }], bytes, 1 << 20),
			new Chart(this, 'Network', [{ key: 'network_rx_bps', label: '↓ ', swatch: 'in' }, { key: 'network_tx_bps', label: '↑ ', swatch: 'out' }], short, 1024, (n) => `${bytes(n)}/s`),
			new Chart(this, 'Disk', [{ key: 'disk_read_bps', label: 'r ', swatch: 'in' }, { key: 'disk_write_bps', label: 'w ', swatch: 'out' }], short, 1024, (n) => `${bytes(n)}/s`),
		];
		this.buttons = Object.keys(WINDOWS).map((window) => h('button', { 'aria-pressed': 'false', 'data-window': window, onclick: () => this.choose(window) }, window));
		this.when = h('span.hint');
		this.list = h('p.marks');
		this.element = h('details.use', { open: true, ontoggle: () => this.draw() },
			h('summary', h('h2', 'Resources'), this.when),
			h('div.group', ...this.buttons), h('div.charts', ...this.charts.map((chart) => chart.element)), this.list);
		this.stop = new AbortController();
		this.choose('5m');
	}

	close() { this.stop.abort(); }

	choose(window) {
		this.window = window;
		for (const button of this.buttons) press(button, button.dataset.window === window);
		this.ask();
	}

	pick(time) {
		this.time = this.points.length ? time : null;
		this.draw();
	}

	// index is that of the point at the picked time.
	index() {
		const at = this.points.findIndex((p) => p.t >= this.time);
		return at < 0 ? this.points.length - 1 : at;
	}

	get windowMS() { return WINDOWS[this.window][0] * 1000; }
	get end() { return Math.max(this.points.at(-1)?.t ?? Date.now(), this.events.at(-1)?.t ?? 0); }

	// refresh asks for points as often as there are new ones.
	refresh() {
		if (++this.turn % WINDOWS[this.window][1] === 0 && this.element.open) this.ask();
	}

	async ask() {
		const c = container(this.nameOf());
		if (!c) return;
		const { window } = this;
		const { signal } = this.stop;
		try {
			const state = [c.id, c.started, c.finished, c.state, c.health].join();
			if (this.seen !== state) {
				this.seen = state;
				const { events } = await get('events', { recent: 1000 }, signal);
				this.take(events.filter((e) => e.name === c.name && happened(e)).map((e) => ({ ...e, t: Date.parse(e.time) })));
			}
			const told = await get(`containers/${c.id}/stats`, { window }, signal);
			if (window !== this.window) return;
			this.points = (told.points ?? []).map((p) => ({ ...p, t: Date.parse(p.t) }));
			this.interval = told.interval_seconds;
			this.problem = '';
		} catch (error) {
			if (signal.aborted) return;
			this.problem = `No numbers: ${error.message}`;
		}
		this.draw();
	}

	take(events) {
		if (this.newest) for (const e of events) if (e.time > this.newest) this.told(e);
		this.newest = events.at(-1)?.time ?? ' ';
		this.events = events;
	}

	draw() {
		if (!this.element.open) return;
		this.marks = this.events.filter((e) => e.t > this.end - this.windowMS);
		const c = container(this.nameOf());
		this.element.hidden = !c?.now && !this.points.length;
		const limit = limitOf(c);
		for (const chart of this.charts) chart.draw(chart.title === 'Memory' && limit);
		setText(this.when, this.problem || (this.time === null ? '' : `at ${clockOf(new Date(this.time))}`));
		const marks = this.marks.slice(-6).map((e) => [e, `${clockOf(new Date(e.t))} ${happened(e)[0]}`]);
		const text = marks.map((mark) => mark[1]).join();
		if (this.list.dataset.text === text) return;
		this.list.dataset.text = text;
		this.list.replaceChildren(...marks.map(([e, words]) => {
			const mark = h('button', { onclick: () => goToTime(e.t) }, h('i.dot'), words);
			mark.firstChild.style.background = `var(${happened(e)[1]})`;
			return mark;
		}));
	}
}

/* Overview */

const stopped = (c) => c.state !== 'running' && c.state !== 'paused' && c.state !== 'restarting';

function kindOf(c) {
	if (c.oom_killed) return 'bad';
	if (stopped(c)) return c.exit_code ? 'bad' : 'off';
	if (c.health === 'unhealthy' || c.state === 'restarting') return 'bad';
	return c.state === 'paused' || c.health === 'starting' ? 'warn' : 'ok';
}

function stateOf(c) {
	if (stopped(c)) return `${c.state}${c.state === 'exited' || c.state === 'dead' ? ` ${c.exit_code}` : ''}${c.oom_killed ? ' · OOM' : ''}`;
	return c.health && c.health !== 'none' && c.health !== 'healthy' ? `${c.state} · ${c.health}` : c.state;
}

const pair = (a, b) => `${short(a)} / ${short(b)}`;

// limitOf returns a container's limit of memory; the whole machine's memory is none.
const limitOf = (c) => (c?.now?.memory_limit_bytes < store.host?.memory_bytes ? c.now.memory_limit_bytes : 0);

function memoryOf(c) {
	const [used, unit] = bytes(c.now.memory_bytes).split(' ');
	const limit = limitOf(c) && bytes(limitOf(c));
	return !limit ? `${used} ${unit}` : limit.endsWith(unit) ? `${used} / ${limit}` : `${used} ${unit} / ${limit}`;
}

// COLUMNS are the table's: key in the address, head, value to sort by, text.
const COLUMNS = [
	['name', 'Container', (c) => c.name],
	['state', 'State', stateOf],
	['cpu', 'CPU', (c) => c.now?.cpu_percent, (c) => percent(c.now.cpu_percent)],
	['memory', 'Memory', (c) => c.now?.memory_bytes, memoryOf],
	['net', 'Net in / out, B/s', (c) => c.now && c.now.network_rx_bps + c.now.network_tx_bps, (c) => pair(c.now.network_rx_bps, c.now.network_tx_bps)],
	['disk', 'Disk r / w, B/s', (c) => c.now?.disk_read_bps + c.now?.disk_write_bps, (c) => pair(c.now.disk_read_bps, c.now.disk_write_bps)],
	['pids', 'PIDs', (c) => c.now?.pids, (c) => count(c.now.pids ?? 0)],
	['restarts', 'Restarts', (c) => c.restarts, (c) => count(c.restarts ?? 0)],
	['lines', 'Lines/s', (c) => c.lines_per_second, (c) => (c.reader === 'none' ? 'not read' : perSecond(c.lines_per_second))],
];
const TEXTS = 2; // so many columns are text, the others numbers

class Overview {
	title = 'Overview';
	rows = new Map();
	groups = new Map();
	picked = new Set();
	filled = false;

	constructor({ params }) {
		this.cards = h('div.cards');
		this.notes = h('ul.notes');
		this.filter = h('input', { type: 'search', placeholder: 'Filter…', 'aria-label': 'Filter containers', oninput: () => go({ f: this.filter.value }, true) });
		this.merged = h('a.button.strong', { hidden: true });
		this.heads = COLUMNS.map(([key, label], i) => h(i < TEXTS ? 'th' : 'th.right', { scope: 'col' }, h('button', { onclick: () => this.sortBy(key, i < TEXTS) }, label)));
		this.body = h('tbody');
		this.empty = h('p.empty', { hidden: true });
		this.element = h('div.page',
			h('h1', { tabindex: '-1', class: 'unseen' }, 'Overview'),
			this.cards, this.notes,
			h('section.panel',
				h('div.bar', h('h2', 'Containers'), this.merged, this.filter),
				h('div.scroll', { role: 'region', 'aria-label': 'Table of containers', tabindex: '0' },
					h('table.containers', h('thead', h('tr', h('th.pick', h('span.unseen', 'Pick')), ...this.heads)), this.body)),
				this.empty));
		this.update(params);
	}

	close() {}

	update(params) {
		this.params = params;
		if (this.filter.value !== (params.f ?? '')) this.filter.value = params.f ?? '';
		this.refresh();
	}

	sortBy(key, text) {
		const again = this.params.sort === (text ? key : `-${key}`) || (key === 'name' && !this.params.sort);
		go({ sort: again === text ? `-${key}` : key });
	}

	refresh() {
		const { host } = store;
		if (!host) {
			this.empty.hidden = false;
			setText(this.empty, store.problem || 'Asking the agent…');
			return;
		}
		this.showCards(host);
		this.showTable();
		if (!this.filled) {
			this.filled = true;
			fillRecent(store.containers.filter((c) => c.now && (store.recent.get(c.id)?.length ?? 0) < 3).map((c) => c.id));
		}
	}

	showCards(host) {
		const sum = (list, of) => list.reduce((all, one) => all + (of(one) || 0), 0);
		const all = store.containers.length;
		const running = store.containers.filter((c) => !stopped(c));
		const ill = running.filter((c) => kindOf(c) === 'bad').length;
		const down = store.routes.filter((r) => r.down).length;
		const told = [
			['CPU', percent(host.cpu_percent), `${plural(host.cpus, 'core')}, load ${host.load?.[0].toFixed(2)}`, '', host.cpu_percent / 100],
			['Memory', bytes(host.memory_used_bytes), `of ${bytes(host.memory_bytes)}`, '', host.memory_used_bytes / host.memory_bytes],
			['Running', running.length, `of ${plural(all, 'container')}${ill ? `, ${ill} ill` : ''}`, ill && 'bad'],
			['Lines', `${perSecond(sum(running, (c) => c.lines_per_second))}/s`, 'from all containers'],
			['Routes up', `${store.routes.length - down} of ${store.routes.length}`, `${bytes(sum(store.routes, (r) => r.behind_bytes))} behind`, down && 'warn'],
			['Agent', `up ${duration(host.uptime_seconds)}`, `${host.version}, engine ${host.engine?.version}`],
		];
		this.cards.replaceChildren(...told.map(([label, value, hint, kind, part]) => {
			const bar = h('i');
			bar.style.width = `${Math.min(100, part * 100)}%`;
			return h('div', { class: `card ${kind || ''}` }, h('span.label', label), h('strong', value), h('span.hint', hint), part >= 0 && h('span.meter', bar));
		}));
		this.notes.replaceChildren(...[host.problem, ...(host.notes ?? [])].filter(Boolean).map((note) => h('li', note)));
	}

	showTable() {
		const sort = this.params.sort ?? 'name';
		const falling = sort.startsWith('-');
		const column = COLUMNS.find(([key]) => key === sort.replace('-', '')) ?? COLUMNS[0];
		COLUMNS.forEach((c, i) => setAttribute(this.heads[i], 'aria-sort', c === column ? (falling ? 'descending' : 'ascending') : null));
		const sign = falling ? -1 : 1;
		const [, , of] = column;
		const compare = (a, b) => sign * (column === COLUMNS[0] || column === COLUMNS[1]
			? of(a).localeCompare(of(b), 'en', { numeric: true }) : (of(a) || 0) - (of(b) || 0));
		const words = (this.params.f ?? '').toLowerCase().split(/\s+/).filter(Boolean);
		const fits = (c) => words.every((word) => `${c.name} ${c.image} ${c.group} ${stateOf(c)}`.toLowerCase().includes(word));
		const list = store.containers.filter(fits).sort((a, b) => stopped(a) - stopped(b) || compare(a, b) || a.name.localeCompare(b.name));
		const byGroup = Map.groupBy(list, (c) => c.group);
		const order = [...byGroup.keys()].sort((a, b) => (a === '') - (b === '')
			|| (column === COLUMNS[0] ? sign * a.localeCompare(b) : compare(byGroup.get(a)[0], byGroup.get(b)[0])));
		const rows = [];
		for (const group of order) {
			if (group || order.length > 1) rows.push(this.groupRow(group, byGroup.get(group)));
			for (const c of byGroup.get(group)) rows.push(this.row(c));
		}
		arrange(this.body, rows);
		for (const c of list) this.drawSparks(c);
		const known = new Set(store.containers.map((c) => c.id));
		for (const id of this.rows.keys()) if (!known.has(id)) this.rows.delete(id), this.picked.delete(id);
		this.empty.hidden = list.length > 0;
		setText(this.empty, store.containers.length ? 'No container fits the filter.' : 'There is no container on this host yet.');
		this.showPicked();
	}

	groupRow(group, members) {
		if (!this.groups.has(group)) {
			this.groups.set(group, h('tr.group-row', h('th', { colspan: COLUMNS.length + 1, scope: 'rowgroup' },
				h('span', group || 'on their own'), h('span.hint'), group ? h('a', { href: hashOf('g', group) }, 'all logs') : null)));
		}
		const row = this.groups.get(group);
		const sum = (key) => members.reduce((all, c) => all + (c.now?.[key] ?? 0), 0);
		setText(row.querySelector('.hint'), ` ${plural(members.length, 'container')} · ${percent(sum('cpu_percent'))} · ${bytes(sum('memory_bytes'))} `);
		return row;
	}

	row(c) {
		if (!this.rows.has(c.id)) {
			const box = h('input', { type: 'checkbox', 'aria-label': `Pick ${c.name}`, onchange: () => {
				this.picked[box.checked ? 'add' : 'delete'](c.id);
				this.showPicked();
			} });
			this.rows.set(c.id, h('tr', h('td.pick', box),
				h('th', { scope: 'row' }, h('a'), h('span.image')),
				h('td', h('i.dot'), h('span')),
				...COLUMNS.slice(TEXTS).map((_, i) => h('td.right', i < 2 && h('canvas.spark'), h('span')))));
		}
		const tr = this.rows.get(c.id);
		tr.className = `${kindOf(c)}${stopped(c) ? ' stopped' : ''}`;
		const [, name, state, ...numbers] = tr.children;
		setText(name.firstChild, c.name);
		setAttribute(name.firstChild, 'href', containerLink(c.name));
		setText(name.lastChild, c.image);
		setText(state.lastChild, stateOf(c));
		state.title = `${c.status}${c.reason ? ` · logs: ${c.reason}` : ''}`;
		numbers.forEach((cell, i) => setText(cell.lastChild, c.now ? COLUMNS[TEXTS + i][3](c) : ''));
		return tr;
	}

	drawSparks(c) {
		const cells = this.rows.get(c.id).children;
		const points = store.recent.get(c.id) ?? [];
		cells[3].firstChild.hidden = cells[4].firstChild.hidden = !c.now;
		if (!c.now) return;
		spark(cells[3].firstChild, points, 'cpu_percent', '--cpu', 5);
		spark(cells[4].firstChild, points, 'memory_bytes', '--mem', Math.max(c.now.memory_bytes * 1.3, 1));
	}

	showPicked() {
		const names = store.containers.filter((c) => this.picked.has(c.id)).map((c) => c.name);
		this.merged.hidden = names.length === 0;
		setText(this.merged, `Logs of ${plural(names.length, 'container')}`);
		this.merged.href = hashOf('m', '', { container: names.join(',') });
	}
}

/* Routes */

const linesOf = (c) => count(c?.lines ?? 0);
const ACCOUNT = [['Read', (c) => linesOf(c.read)], ['Delivered', (c) => linesOf(c.delivered)], ['Filtered', (c) => linesOf(c.filtered)],
	['Dropped', droppedOf], ['In flight', (c) => linesOf(c.in_flight)]];

function droppedOf(account) {
	const parts = (account.dropped ?? []).map((d) => `${count(d.lines)} ${d.reason.replaceAll('_', ' ')}`);
	if (account.gaps) parts.push(`${account.gaps} times an unknown number`);
	return parts.join(', ') || '0';
}

class Routes {
	title = 'Routes';
	cards = new Map();

	constructor() {
		this.grid = h('div.routes');
		this.empty = h('div.empty', { hidden: true });
		this.element = h('div.page',
			h('h1', { tabindex: '-1' }, 'Routes'),
			h('p.hint.lead', 'Where lines go, and what became of each that was read: read = delivered + filtered + dropped + in flight.'),
			this.grid, this.empty);
	}

	update() {}
	close() {}

	refresh() {
		if (!store.routes) return;
		this.empty.hidden = store.routes.length > 0;
		if (store.routes.length === 0 && !this.empty.childElementCount) {
			this.empty.append(h('p', 'There is no route: lines are only shown here. A route is an argument of the agent, such as'),
				h('pre', 'tallyman syslog+tls://logs.example.com:6514'));
		}
		arrange(this.grid, store.routes.map((route) => this.card(route)));
		this.tell();
	}

	// tell fills the tables of containers while one of them is open.
	async tell() {
		if (!this.grid.querySelector('[open]')) return;
		try {
			for (const { identity, route, containers } of (await get('tally')).routes) {
				this.cards.get(identity || route)?.querySelector('tbody').replaceChildren(...(containers ?? []).map((c) => h('tr', h('th', { scope: 'row' }, c.name),
					...ACCOUNT.map(([, of]) => h('td.right', of(c))), h('td.right', bytes(c.behind_bytes)))));
			}
		} catch { /* The banner tells of it. */ }
	}

	card(route) {
		const key = route.identity || route.route;
		if (!this.cards.has(key)) {
			this.cards.set(key, h('article.panel.route',
				h('div.bar', h('h2', route.route), h('span.pill')),
				h('p.problem'), h('dl'),
				h('details', { ontoggle: () => this.tell() }, h('summary', 'By container'),
					h('div.scroll', { role: 'region', 'aria-label': `Tally of ${route.route} by container`, tabindex: '0' }, h('table',
						h('thead', h('tr', h('th', { scope: 'col' }, 'Container'), ...[...ACCOUNT, ['Behind']].map(([label]) => h('th.right', { scope: 'col' }, label)))), h('tbody'))))));
		}
		const card = this.cards.get(key);
		const pill = card.querySelector('.pill');
		setText(pill, route.down ? 'down' : route.behind_bytes > 0 ? 'catching up' : 'delivering');
		pill.className = `pill ${route.down ? 'bad' : route.behind_bytes > 0 ? 'warn' : 'ok'}`;
		setText(card.querySelector('.problem'), route.problem ? `Last error: ${route.problem}` : '');
		const list = card.querySelector('dl');
		const told = [
			['Containers', count(route.containers ?? 0)], ['Behind', bytes(route.behind_bytes ?? 0)], ['Lag', route.lag_seconds ? duration(route.lag_seconds) : 'none'],
			['Sent again', linesOf(route.resent)], ['Tally', route.balanced === false ? 'does not agree' : 'agrees', route.balanced === false],
			...ACCOUNT.map(([label, of]) => [label, of(route), label === 'Dropped' && (route.dropped?.length || route.gaps)]),
		];
		if (!list.firstChild) list.append(...told.map(([label]) => h('div', h('dt', label), h('dd'))));
		told.forEach(([, value, bad], i) => {
			setText(list.children[i].lastChild, value);
			list.children[i].className = bad ? 'bad' : '';
		});
		return card;
	}
}

/* Logs */

// Logs shows lines of a container, a group, or several. Its address may name a search (q, with
// ! before it to invert), a stream, a level, and a place in the past (at, line).
class Logs {
	state = '';
	lines = 0;
	errors = 0;
	received = 0;
	dropped = 0;
	ids = '';

	constructor({ view, name, params }) {
		Object.assign(this, { kind: view, name, params });
		this.title = view === 'm' ? params.name || (params.container ?? '').replaceAll(',', ', ') : name;
		this.list = new LineList(this, view !== 'c' && `${name}-`);
		const toggle = (label, title, key, press) => h('button', { title: `${title} (${key})`, onclick: press }, label);
		const select = (label, param, options) => h('select', { 'aria-label': label, onchange: (e) => go({ [param]: e.target.value }) },
			...options.map(([value, text]) => h('option', { value }, text)));
		this.search = h('input', { type: 'search', placeholder: 'Search, as a regular expression', 'aria-label': 'Search the log', spellcheck: 'false',
			onchange: () => go({ q: this.query() }), onkeydown: (e) => { if (e.key === 'Enter') { go({ q: this.query() }); this.list.pane.focus(); } } });
		this.invert = toggle('not', 'Lines that do not fit', '!', () => { press(this.invert, !this.inverted); go({ q: this.query() }); });
		this.stream = select('Stream', 'stream', [['', 'both streams'], ['stdout', 'stdout'], ['stderr', 'stderr']]);
		this.level = select('Level', 'level', [['', 'all levels'], ['debug', 'debug and up'], ['info', 'info and up'], ['warn', 'warn and up'], ['error', 'errors only']]);
		this.live = toggle('Live', 'Pause or go on', 'Space', () => (this.list.following ? this.list.stay() : this.resume()));
		this.wrap = toggle('Wrap', 'Wrap long lines', 'w', () => this.chose('wrap', !choices.wrap));
		this.time = toggle('', 'Local time, UTC or none', 't', () => this.chose('time', { local: 'utc', utc: 'off' }[choices.time] ?? 'local'));
		this.downloads = [['', 'Download'], ['ndjson', 'NDJSON']].map(([format, label]) => h('a.button', { download: true, 'data-format': format, title: format && 'As JSON, an object a line' }, label));
		this.share = h('button', { onclick: (e) => copy(location.href, 'Link to this view', e.target) }, 'Link');
		this.curl = h('button', { onclick: (e) => copy(this.command(), 'Command for this view', e.target) }, 'curl');
		this.more = h('button.jump.strong', { hidden: true, onclick: () => this.resume() });
		this.note = h('p.hint', { hidden: true });
		this.dot = h('i');
		this.facts = h('span.hint');
		this.side = new Sidebar();
		this.charts = view === 'c' ? new Charts(() => this.name, (e) => this.params.at || this.list.remark(`${clockOf(new Date(e.t))} ${name} ${happened(e)[0]}`)) : null;
		this.element = h('div.logs', this.side.element,
			h('div.content',
				h('div.title', this.dot, h('h1', { tabindex: '-1' }, this.title), this.facts, h('div.group', ...this.downloads, this.share, this.curl)),
				h('div.toolbar', { role: 'toolbar', 'aria-label': 'What is shown' },
					h('div.group.wide', this.search, this.invert),
					h('div.group', this.stream, this.level),
					h('div.group', this.live, this.wrap, this.time, h('button', { title: 'Go to a time (T)', onclick: askTime }, 'Go to…'))),
				this.note,
				h('div.frame', this.list.pane, this.more),
				this.charts?.element));
		this.take(params);
		this.clock = setInterval(() => this.tick(), 1000);
	}

	close() {
		this.stop?.abort();
		clearInterval(this.clock);
		this.list.close();
		this.charts?.close();
	}

	get inverted() { return this.invert.getAttribute('aria-pressed') === 'true'; }
	get filtered() { return Boolean(this.params.q || this.params.level || this.params.stream); }
	query() { return this.search.value && (this.inverted ? '!' : '') + this.search.value; }

	take(params) {
		this.params = params;
		const q = params.q ?? '';
		this.search.value = q.replace(/^!/, '');
		press(this.invert, q.startsWith('!'));
		this.stream.value = params.stream ?? '';
		this.level.value = params.level ?? '';
		this.list.search = searchOf(q);
		const link = hashOf(this.kind, this.name, { ...params, at: '', line: '' });
		this.link = link + (link.includes('?') ? '&' : '?');
		this.showChoices();
	}

	update(params) {
		const same = JSON.stringify(params) === JSON.stringify(this.params);
		this.take(params);
		if (!same) this.open();
	}

	// selector says which lines are wanted, null while no such container is known.
	selector() {
		const { params } = this;
		const filters = { q: params.q, level: params.level, stream: params.stream };
		if (this.kind === 'g') return { group: this.name, ...filters };
		if (this.kind === 'm' && params.name) return { name: params.name, ...filters };
		const names = this.kind === 'c' ? [this.name] : (params.container ?? '').split(',');
		const ids = names.map((name) => container(name)?.id).filter(Boolean);
		return ids.length ? { container: ids.join(','), ...filters } : null;
	}

	refresh() {
		this.side.refresh();
		this.charts?.refresh();
		const c = this.kind === 'c' ? container(this.name) : null;
		if (c) {
			this.dot.className = `dot ${kindOf(c)}`;
			setText(this.facts, [stateOf(c), c.image, c.group && `in ${c.group}`, c.now && percent(c.now.cpu_percent), c.now && bytes(c.now.memory_bytes),
				c.reader === 'api' && 'read through the engine’s API'].filter(Boolean).join(' · '));
		}
		const selector = this.selector();
		for (const link of this.downloads) link.href = selector ? apiURL('logs/download', { ...selector, format: link.dataset.format }) : '#';
		const ids = selector?.container ?? '';
		if (store.host && ids !== this.ids) this.open(true);
		else if (store.host && !selector) this.tell(`There is no container called ${this.title} now.`);
		else if (c?.reader === 'none') this.tell(`This container's log cannot be read: ${c.reason}`);
	}

	tell(text) {
		this.note.hidden = !text;
		setText(this.note, text);
		this.list.settle();
		if (text) say(text);
	}

	// open begins anew. With again a container was made anew under its name: what is shown stays.
	async open(again = false) {
		this.stop?.abort();
		this.stop = new AbortController();
		const { signal } = this.stop;
		const selector = this.selector();
		const shown = this.list.entries.length;
		this.ids = selector?.container ?? '';
		if (again && shown && !this.params.at) this.list.remark(selector ? 'The container was made anew.' : 'The container was removed.');
		else this.list.clear();
		this.before = this.asking = null;
		this.begun = this.list.entries.length > 0;
		this.received = this.dropped = this.lines = this.ticks = 0;
		if (!selector) return;
		this.tell('');
		this.edge('');
		if (this.params.at) await this.around(signal);
		else await this.follow(selector, signal);
	}

	// follow shows lines as they come. A new connection goes on where the last one broke.
	async follow(selector, signal) {
		let id = '', wait = 250, lost = 0, first = !this.begun;
		this.state = 'connecting';
		while (!signal.aborted) {
			const attempt = new AbortController();
			const abort = () => attempt.abort();
			let silence = setTimeout(abort, SILENCE_MS);
			const heard = () => { clearTimeout(silence); silence = setTimeout(abort, SILENCE_MS); };
			try {
				const tail = id || this.filtered || !first ? undefined : FIRST_LINES;
				const response = await fetch(apiURL('logs/stream', { ...selector, tail }), { headers: id ? { 'Last-Event-ID': id } : {}, signal: AbortSignal.any([signal, attempt.signal]) });
				if (!response.ok) throw await refusal(response);
				heard();
				if (lost) {
					this.list.remark(`Reconnected after ${duration((Date.now() - lost) / 1000)}${id ? '; the lines go on where they ended' : ''}.`);
				}
				lost = 0;
				wait = 250;
				this.state = 'live';
				this.tell('');
				for await (const event of events(response.body, heard)) {
					if (signal.aborted) return;
					const { lines } = JSON.parse(event.data || '{}');
					if (event.event === 'batch') this.took(lines);
					else if (event.event === 'dropped') {
						this.dropped += lines ?? 0;
						this.list.remark(lines === null ? 'Lines are missing here: their file is gone, and nobody knows how many they were.'
							: `${plural(lines, 'line')} came faster than this browser takes them and were left out.`);
					} else if (event.event === 'end') {
						this.state = 'ended';
						this.list.remark('The log ends here: the container was removed.');
						return;
					}
					if (event.id) id = event.id;
					// The first event says where the stream begins: the past ends there.
					if (first && this.filtered) this.before = id, this.older();
					first = false;
				}
			} catch (error) {
				if (signal.aborted) return;
				if (error.final) {
					this.state = 'refused';
					this.tell(`The agent refuses: ${error.message}`);
					return;
				}
			} finally {
				clearTimeout(silence);
				abort();
				this.showState();
			}
			lost ||= Date.now();
			this.state = 'lost';
			this.tell('The connection to the agent is lost; trying again.');
			await pause(wait * (0.75 + Math.random() / 2));
			wait = Math.min(wait * 2, 10000);
		}
	}

	took(lines) {
		this.received += lines.length;
		this.lines += lines.length;
		this.errors += lines.filter((line) => LEVELS[line.level]?.[1] === 'bad').length;
		this.list.add(lines.map(entryOf));
	}

	reach(direction) {
		if (direction < 0) this.older();
		else if (this.params.at) this.newer();
		else if (!this.list.cutOff) this.list.follow();
	}

	edge(text, ...more) { this.list.edge.replaceChildren(text, ...more); }

	// older asks for the page before the first line; with a filter for more, until there are enough hits.
	async older() {
		if (this.asking || this.begun || !this.selector()) return;
		const { signal } = this.stop;
		this.asking = new AbortController();
		const asking = AbortSignal.any([signal, this.asking.signal]);
		let scanned = 0, hits = 0;
		this.edge(this.filtered ? 'Searching the past…' : 'Loading…');
		try {
			do {
				const oldest = this.list.entries.find((entry) => entry.time)?.time;
				const page = await get('logs', { ...this.selector(), limit: this.filtered ? WANTED_HITS : FIRST_LINES,
					...(this.before ? { before: this.before } : { until: oldest }) }, asking);
				const fresh = this.list.insert(page.lines.map(entryOf), -1);
				hits += fresh;
				scanned += page.scanned_bytes ?? 0;
				const stuck = !page.truncated && fresh === 0 && page.before === this.before;
				this.before = page.before;
				if (!page.before || stuck) {
					this.begun = true;
					this.edge(this.filtered ? `The log begins here: ${bytes(scanned)} searched.` : 'The log begins here.');
					return;
				}
				if (this.filtered) {
					this.edge(`Searched ${bytes(scanned)} back, ${plural(hits, 'hit')} `, h('button', { onclick: () => this.asking?.abort() }, 'Stop'));
				} else if (fresh > 0) break;
			} while (hits < WANTED_HITS);
			this.edge(this.filtered ? `${plural(hits, 'hit')} in ${bytes(scanned)}; scroll up to search on.` : '');
		} catch (error) {
			if (signal.aborted) return;
			const text = error.name === 'AbortError' ? `Stopped after ${bytes(scanned)}, ${plural(hits, 'hit')}. ` : `The past cannot be read: ${error.message} `;
			this.edge(text, h('button', { onclick: () => { this.asking = null; this.older(); } }, 'Go on'));
		} finally {
			if (!signal.aborted) this.asking = null;
		}
	}

	async around(signal) {
		this.state = 'past';
		const { list } = this;
		list.following = false;
		this.asking = new AbortController(); // A scroll event must not ask for more meanwhile.
		try {
			const page = await get('logs', { ...this.selector(), until: this.params.at, limit: WANTED_HITS }, signal);
			this.before = page.before;
			this.begun = !page.before;
			list.insert(page.lines.map(entryOf), 1);
			this.asking = null;
			await this.newer();
			if (signal.aborted) return;
			const near = list.entries.find((entry) => Date.parse(entry.time) >= Date.parse(this.params.at)) ?? list.entries.at(-1);
			const row = list.find(this.params.line ?? near?.cursor) ?? (near && list.find(near.cursor));
			if (row) {
				list.moveTo(row);
				row.scrollIntoView({ block: 'center' });
			} else this.tell('There are no lines at that time.');
		} catch (error) {
			if (signal.aborted) return;
			this.asking = null;
			this.tell(`The past cannot be read: ${error.message}`);
		}
		this.showState();
	}

	// newer asks for lines after the last one. A page holds the newest of a stretch of time, which so
	// has to be short enough for all of them.
	async newer() {
		if (this.asking) return;
		const { signal } = this.stop;
		this.asking = new AbortController();
		try {
			let since = this.list.entries.at(-1)?.time ?? this.params.at;
			for (let span = 100; ;) {
				const until = new Date(Date.parse(since) + span);
				const { lines, truncated } = await get('logs', { ...this.selector(), since, until: until.toISOString(), limit: 5000 }, signal);
				if ((lines[4999] || truncated) && span > 1) span = span >> 3 || 1;
				else if (this.list.insert(lines.map(entryOf), 1) > 100 || until > Date.now()) break;
				else {
					since = until.toISOString();
					span *= 8;
				}
			}
		} catch (error) {
			if (!signal.aborted) this.tell(`Newer lines cannot be read: ${error.message}`);
		} finally {
			if (!signal.aborted) this.asking = null;
		}
	}

	context(entry) { go({ q: '', level: '', stream: '', at: entry.time, line: entry.cursor }); }

	linkOf(entry) { return `${this.link}at=${encodeURIComponent(entry.time)}&line=${encodeURIComponent(entry.cursor)}`; }

	resume() {
		if (this.params.at) go({ at: '', line: '' });
		else if (!this.list.follow()) this.open();
		this.list.pane.focus({ preventScroll: true });
	}

	chose(key, value) {
		choose(key, value);
		this.showChoices();
		this.list.redraw();
		this.charts?.draw();
	}

	showChoices() {
		press(this.wrap, choices.wrap);
		setText(this.time, { local: 'Local time', utc: 'UTC', off: 'No time' }[choices.time]);
		this.list.pane.classList.toggle('wrap', choices.wrap);
	}

	// The address has no quotes: they are encoded.
	command() { return `curl -N '${apiURL('logs/stream', { ...this.selector(), tail: 100 }).replaceAll("'", '%27')}'`; }

	tick() {
		// The lines of the past that a view begins with are no rate.
		this.perSecond = this.ticks++ > 1 ? this.lines : 0;
		this.lines = 0;
		if (this.ticks % 5 === 0 && this.perSecond) {
			say(`${plural(this.perSecond, 'line')} a second${this.errors ? `, ${plural(this.errors, 'error')}` : ''}`);
			this.errors = 0;
		}
		this.showState();
	}

	showState() {
		const { list } = this;
		const { received, dropped, state } = this;
		Object.assign(list.pane.dataset, { received, dropped, state });
		setText(this.live, !state ? 'No log' : this.params.at ? 'Past' : !list.following ? 'Paused' : state === 'live' ? `Live ${this.perSecond ? `${count(this.perSecond)}/s` : ''}` : state);
		press(this.live, list.following && state === 'live');
		this.more.hidden = list.following;
		setText(this.more, this.params.at ? 'To the present ↓' : list.missed ? `${plural(list.missed, 'new line')} ↓` : 'Go on ↓');
		if (state === 'live' && !list.entries.length && !this.asking) this.edge(this.filtered ? 'No line fits yet.' : 'No lines yet.');
		else if (/^No line/.test(list.edge.textContent) && list.entries.length) this.edge('');
	}
}

class Sidebar {
	constructor() {
		this.filter = h('input', { type: 'search', placeholder: 'Containers  (Ctrl K)', 'aria-label': 'Find a container', oninput: () => this.refresh(),
			onkeydown: (e) => { if (e.key === 'Enter') this.links.querySelector('a')?.click(); } });
		this.links = h('div.links');
		this.element = h('details.side', { open: innerWidth > 900 }, h('summary', 'Containers'), h('nav', { 'aria-label': 'Containers' }, this.filter, this.links));
	}

	focus() {
		this.element.open = true;
		this.filter.focus();
		this.filter.select();
	}

	refresh() {
		const word = this.filter.value.toLowerCase();
		const here = parseHash();
		const list = store.containers.filter((c) => `${c.name} ${c.group}`.toLowerCase().includes(word))
			.sort((a, b) => (a.group === '') - (b.group === '') || a.group.localeCompare(b.group) || stopped(a) - stopped(b) || a.name.localeCompare(b.name));
		const key = JSON.stringify([list.map((c) => [c.name, c.group, kindOf(c)]), here.view, here.name]);
		if (key !== this.key) {
			this.key = key;
			const items = [];
			const link = (href, active, ...children) => h('a', { href, 'aria-current': active ? 'page' : null }, ...children);
			list.forEach((c, i) => {
				if (c.group && list[i - 1]?.group !== c.group) items.push(link(hashOf('g', c.group), here.view === 'g' && here.name === c.group, h('b', c.group), h('span.hint', 'all')));
				if (!c.group && list[i - 1]?.group) items.push(h('hr'));
				items.push(link(containerLink(c.name), here.view === 'c' && here.name === c.name, h('i', { class: `dot ${kindOf(c)}` }),
					h('span', { class: stopped(c) ? 'stopped' : '', title: c.name }, c.name), h('span.hint', { 'data-id': c.id })));
			});
			this.links.replaceChildren(...items);
		}
		for (const place of this.links.querySelectorAll('[data-id]')) {
			const c = container(place.dataset.id);
			if (c) setText(place, c.now ? percent(c.now.cpu_percent) : stateOf(c).replace('exited ', '✕ '));
		}
	}
}

/* Dialogs and keys */

// copy puts text on the clipboard, or shows it where the browser forbids that, as on plain HTTP.
async function copy(text, what, button) {
	try {
		await navigator.clipboard.writeText(text);
		const label = button.textContent;
		setText(button, 'Copied');
		say(`${what} is copied.`);
		setTimeout(() => setText(button, label), 1200);
	} catch {
		prompt(what, text);
	}
}

const KEYS = [
	['/', 'search'], ['Ctrl K', 'find a container'], ['j  k', 'next, previous line'], ['Enter', 'details of the line'],
	['g  G', 'oldest, newest line'], ['Ctrl d  Ctrl u', 'half a page down, up'], ['Space', 'pause, go on'], ['Esc', 'go on with the newest lines'],
	['e', 'errors only, all levels'], ['!', 'lines that do not fit'], ['w', 'wrap'], ['t', 'local time, UTC, none'], ['T', 'go to a time'],
	['m', 'all of the container’s group'], ['o', 'overview'], ['r', 'routes'], ['?', 'this help'],
];

function showDialog(title, ...children) {
	$('dialog').replaceChildren(h('h2', { id: 'dialog-title' }, title), ...children);
	$('dialog').showModal();
}

function help() {
	showDialog('Keys',
		h('dl.keys', ...KEYS.map(([keys, what]) => h('div', h('dt', ...keys.split('  ').map((key) => h('kbd', key))), h('dd', what)))),
		h('p.hint', `Tallyman ${store.host?.version ?? ''}. Click a line for its details, its time for a link to it, its container’s name to see that alone.`),
		h('form', { method: 'dialog' }, h('button', 'Close')));
}

const goToTime = (time) => go({ at: new Date(time).toISOString(), line: '' });

function askTime() {
	const utc = choices.time === 'utc';
	const field = h('input', { type: 'datetime-local', step: 1, required: true, value: written(new Date()).replace(' ', 'T'), 'aria-labelledby': 'dialog-title' });
	const ago = [5, 60, 360, 1440].map((minutes) => h('button', { type: 'button', onclick: () => {
		$('dialog').close();
		goToTime(Date.now() - minutes * 60000);
	} }, `${duration(minutes * 60)} ago`));
	showDialog(`Go to a time (${utc ? 'UTC' : 'local'})`, h('p.actions', ...ago),
		h('form', { method: 'dialog', onsubmit: () => goToTime(field.value + (utc ? 'Z' : '')) },
			field, h('button.strong', 'Go'), h('button', { type: 'button', onclick: () => $('dialog').close() }, 'Close')));
}

function pressed(event) {
	const { key, target } = event;
	const logs = view instanceof Logs ? view : null;
	const list = logs?.list;
	if (event.ctrlKey && key === 'k') {
		event.preventDefault();
		if (logs) logs.side.focus();
		else view.filter?.focus();
		return;
	}
	if (event.altKey || event.metaKey || document.querySelector('dialog[open]')) return;
	if (target.matches('input:not([type=checkbox]), select')) {
		if (key === 'Escape') (list?.pane ?? $('main')).focus();
		return;
	}
	const half = (sign) => { list.stay(); list.pane.scrollBy(0, sign * 0.5 * list.pane.clientHeight); };
	const actions = event.ctrlKey ? logs && { d: () => half(1), u: () => half(-1) } : {
		'?': help,
		o: () => { location.hash = '#/'; },
		r: () => { location.hash = '#/routes'; },
		'/': () => (logs?.search ?? view.filter)?.focus(),
		...logs && {
			j: () => list.step(1), k: () => list.step(-1), g: () => list.toStart(), Home: () => list.toStart(),
			G: () => logs.resume(), End: () => logs.resume(), Escape: () => logs.resume(), '!': () => logs.invert.click(),
			w: () => logs.wrap.click(), t: () => logs.time.click(), T: askTime, e: () => go({ level: logs.params.level === 'error' ? '' : 'error' }),
			m: () => { const group = container(logs.name)?.group; if (group) location.hash = hashOf('g', group); },
		},
		...logs && !target.closest('button, a, summary') && {
			' ': () => logs.live.click(),
			Enter: target === list.current && (() => list.toggle(target)),
		},
	};
	if (!actions?.[key]) return;
	event.preventDefault();
	actions[key]();
}

loadChoices();
applyTheme();
on($('theme'), 'click', () => {
	choose('theme', THEMES[(THEMES.indexOf(choices.theme) + 1) % THEMES.length]);
	applyTheme();
});
on(matchMedia('(prefers-color-scheme: dark)'), 'change', applyTheme);
on($('help-open'), 'click', help);
on(document.querySelector('.skip'), 'click', (event) => { event.preventDefault(); $('main').focus(); });
on(document, 'keydown', pressed);
on(window, 'resize', redraw);
on(document, 'visibilitychange', redraw);
on(window, 'hashchange', show);
show();
poll();
