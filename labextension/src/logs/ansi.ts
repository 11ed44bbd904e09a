/** A piece of a line with the CSS classes of its colours. */
export interface ISpan {
  readonly text: string;
  readonly classes: string;
}

const COLOURS = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'];
const SEQUENCE =
  /\x1b(?:\[([0-9;:<=>?]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\|$)|[PX^_][^\x1b]*(?:\x1b\\|$)|[ -/]*[0-~]|$)/g;
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;

/**
 * Split a line into coloured pieces. Only the 16 colours, bold, faint, italic and underline count; every other control
 * sequence, and every control character, is left out. The pieces are text, never markup.
 */
export function spans(line: string): ISpan[] {
  if (!line.includes('\x1b')) {
    return [{ text: line.replace(CONTROL, ''), classes: '' }];
  }
  const spans: ISpan[] = [];
  const style = new Style();
  let start = 0;
  const add = (end: number): void => {
    const text = line.slice(start, end).replace(CONTROL, '');
    if (text) {
      spans.push({ text, classes: style.classes() });
    }
  };
  for (const match of line.matchAll(SEQUENCE)) {
    add(match.index);
    start = match.index + match[0].length;
    if (match[2] === 'm') {
      style.take(match[1] ?? '');
    }
  }
  add(line.length);
  return spans;
}

/** The text of a line without any control sequence. */
export function plain(line: string): string {
  return line.replace(SEQUENCE, '').replace(CONTROL, '');
}

class Style {
  private colour = '';
  private readonly on = new Set<string>();

  take(parameters: string): void {
    const groups = parameters.split(';');
    for (let i = 0; i < groups.length; i++) {
      // What stands behind a colon belongs to the number before it: `4:3` is a curly underline, `38:2::1:2:3` a colour.
      const [code = 0, ...parts] = (groups[i] ?? '').split(':').map(Number);
      if (code === 38 || code === 48 || code === 58) {
        // A colour of its own: skip what describes it.
        i += parts.length > 0 ? 0 : Number(groups[i + 1]) === 5 ? 2 : 4;
      } else {
        this.one(code === 4 && parts[0] === 0 ? 24 : code);
      }
    }
  }

  classes(): string {
    return [...(this.colour ? [this.colour] : []), ...this.on]
      .map(name => `jp-Bacalhau-ansi-${name}`)
      .join(' ');
  }

  private one(code: number): void {
    if (code === 0) {
      this.colour = '';
      this.on.clear();
    } else if (code === 39) {
      this.colour = '';
    } else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) {
      this.colour = COLOURS[code % 10] ?? '';
    } else if (code === 1 || code === 2 || code === 3 || code === 4) {
      this.on.add(['', 'bold', 'faint', 'italic', 'underline'][code] ?? '');
    } else if (code === 22) {
      this.on.delete('bold');
      this.on.delete('faint');
    } else if (code === 23) {
      this.on.delete('italic');
    } else if (code === 24) {
      this.on.delete('underline');
    }
  }
}
