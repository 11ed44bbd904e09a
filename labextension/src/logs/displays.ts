const START = '\x1b_bacalhau;';
const FRAME = /\x1b_bacalhau;[^\x1b]{0,4096}\x1b\\/g;
const LONGEST = 4096 + START.length;

/**
 * Removes the displays of Python cells from an output that comes in chunks; only a notebook shows them. Their plain
 * text stays. (`models/records/displays.py` does the same.)
 */
export class DisplayFilter {
  private kept = '';

  feed(chunk: string): string {
    if (!this.kept && !chunk.includes('\x1b')) {
      return chunk;
    }
    const text = (this.kept + chunk).replace(FRAME, '');
    let place = text.indexOf(START);
    if (place < 0) {
      const last = text.lastIndexOf('\x1b');
      place = last >= 0 && START.startsWith(text.slice(last)) ? last : text.length;
    } else if (text.length - place > LONGEST) {
      place = text.length;
    }
    this.kept = text.slice(place);
    return text.slice(0, place);
  }

  clear(): void {
    this.kept = '';
  }
}
