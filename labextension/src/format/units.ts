import { readable } from './text';

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** A number of bytes for people: `1.2 GB`; `?` for what is no size. */
export function bytes(value: number): string {
  if (!Number.isFinite(value) || value < 0) {
    return '?';
  }
  let scaled = value;
  let unit = 0;
  while (scaled >= 999.5 && unit < UNITS.length - 1) {
    scaled /= 1000;
    unit += 1;
  }
  const digits = unit > 0 && scaled < 9.95 ? 1 : 0;
  return `${scaled.toFixed(digits)} ${UNITS[unit]}`;
}

/** A span for people: `0.4 s`, `12 s`, `3:05`, `2:03:05`, `3 d 4 h`; empty for what is no span. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms) || ms < 0) {
    return '';
  }
  const seconds = Math.floor(ms / 1000);
  if (seconds < 10) {
    // Cut, like all the others: 9.99 s must not look longer than the 10 s that come after it.
    return `${(Math.floor(ms / 100) / 10).toFixed(1)} s`;
  }
  if (seconds < 60) {
    return `${seconds} s`;
  }
  const two = (value: number): string => String(value).padStart(2, '0');
  const [days, hours, minutes] = [
    Math.floor(seconds / 86400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60
  ];
  if (days > 0) {
    return `${days} d ${hours} h`;
  }
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/** The node of a Docker host elsewhere: the ID of the node that it belongs to, and what people call it. */
const HOST_NODE = /^n-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-([a-z0-9](?:[a-z0-9_-]{0,38}[a-z0-9])?)$/;

/** What people call the Docker host that a node stands for; empty for another node. Python has the same (`lib/ids.py`). */
export function hostOf(node: string): string {
  return HOST_NODE.exec(node)?.[1] ?? '';
}

/** The first part of an id: `j-761f5690`; of a Docker host its name. */
export function shortId(id: string): string {
  return hostOf(id) || (/^[a-z]-[0-9a-f]{8}-/.test(id) ? id.slice(0, 10) : readable(id));
}

/** How much of how much: `120/253 MB`, `999 B/1.5 MB`. */
export function share(done: number, total: number): string {
  const [first, second] = [bytes(done), bytes(total)];
  const [amount = '', unit = ''] = first.split(' ');
  return unit !== '' && second.endsWith(` ${unit}`) ? `${amount}/${second}` : `${first}/${second}`;
}

/** How long ago something was, in one coarse word: `12 s`, `5 min`, `3 h`, `2 d`; empty for what is no span. */
export function age(ms: number): string {
  if (!Number.isFinite(ms)) {
    return '';
  }
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const units: readonly [number, string][] = [
    [86400, 'd'],
    [3600, 'h'],
    [60, 'min']
  ];
  for (const [length, name] of units) {
    if (seconds >= length) {
      return `${Math.floor(seconds / length)} ${name}`;
    }
  }
  return `${seconds} s`;
}
