/** One line of output. `stream` is 1 for stdout, 2 for stderr, 0 for what we say ourselves. */
export interface ILine {
  readonly stream: number;
  readonly text: string;
}

/** Longer lines are broken: one line of 50 MB must not freeze the page. */
const LINE_LIMIT = 4096;

/**
 * Keeps the last lines of a log. Adding is cheap, whatever came before; when it is full the oldest lines go.
 */
export class LogBuffer {
  private ring: ILine[] = [];
  private head = 0;
  private partial: { stream: number; text: string } | null = null;
  private removed = 0;

  private readonly limit: number;

  constructor(limit = 50000) {
    this.limit = limit >= 1 ? Math.floor(limit) : 1;
  }

  /** How many lines there are. */
  get length(): number {
    return this.ring.length + (this.partial ? 1 : 0);
  }

  /** How many lines had to go. */
  get dropped(): number {
    return this.removed;
  }

  /** The line at a position, counted from the oldest that is kept. */
  at(index: number): ILine | undefined {
    if (index === this.ring.length) {
      return this.partial ? { stream: this.partial.stream, text: visible(this.partial.text) } : undefined;
    }
    return index >= 0 && index < this.ring.length
      ? this.ring[(this.head + index) % this.ring.length]
      : undefined;
  }

  /** Add a chunk as it came: parts of lines, several lines, lines that overwrite themselves with `\r`. */
  push(stream: number, chunk: string): void {
    let text = chunk;
    if (this.partial !== null) {
      if (this.partial.stream === stream) {
        text = this.partial.text + text;
      } else {
        this.add(this.partial.stream, this.partial.text);
      }
      this.partial = null;
    }
    let start = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      this.add(stream, text.slice(start, end));
      start = end + 1;
    }
    // What overwrites itself without a line end (a progress bar) stays one line, however often it does.
    let rest = overwritten(text.slice(start));
    while (rest.length > LINE_LIMIT) {
      this.add(stream, rest.slice(0, LINE_LIMIT));
      rest = rest.slice(LINE_LIMIT);
    }
    if (rest) {
      this.partial = { stream, text: rest };
    }
  }

  /** The positions of the lines that hold a text, whatever its case. */
  find(needle: string): number[] {
    const lowered = needle.toLowerCase();
    const matches: number[] = [];
    for (let index = 0; lowered && index < this.length; index++) {
      if (this.at(index)?.text.toLowerCase().includes(lowered)) {
        matches.push(index);
      }
    }
    return matches;
  }

  clear(): void {
    this.ring = [];
    this.head = 0;
    this.partial = null;
    this.removed = 0;
  }

  private add(stream: number, raw: string): void {
    const text = visible(raw);
    for (let at = 0; at === 0 || at < text.length; at += LINE_LIMIT) {
      this.keep({ stream, text: text.length > LINE_LIMIT ? text.slice(at, at + LINE_LIMIT) : text });
    }
  }

  private keep(line: ILine): void {
    if (this.ring.length < this.limit) {
      this.ring.push(line);
    } else {
      this.ring[this.head] = line;
      this.head = (this.head + 1) % this.limit;
      this.removed += 1;
    }
  }
}

/** What a terminal would show of a line: the text after the last carriage return that is followed by something. */
function visible(raw: string): string {
  let end = raw.length;
  while (raw[end - 1] === '\r') {
    end -= 1;
  }
  return raw.slice(raw.lastIndexOf('\r', end - 1) + 1, end);
}

/** The same for a line that goes on: a carriage return at its end may still become one that overwrites it. */
function overwritten(raw: string): string {
  const text = visible(raw);
  return raw.endsWith('\r') ? `${text}\r` : text;
}
