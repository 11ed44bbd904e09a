import { FakeTransport } from '../testing/transport';
import { plain, spans } from './ansi';
import { LogBuffer } from './buffer';
import { DisplayFilter } from './displays';
import { LogStream } from './stream';

const texts = (buffer: LogBuffer): (string | undefined)[] =>
  Array.from({ length: buffer.length }, (_, at) => buffer.at(at)?.text);

describe('LogBuffer', () => {
  it('puts lines together from the pieces in which they come', () => {
    const buffer = new LogBuffer();
    ['a', 'b\nc', '\n', 'rest'].forEach(chunk => buffer.push(1, chunk));
    expect(texts(buffer)).toEqual(['ab', 'c', 'rest']);
  });

  it('keeps the streams apart', () => {
    const buffer = new LogBuffer();
    buffer.push(1, 'out');
    buffer.push(2, 'err\n');
    expect([buffer.at(0), buffer.at(1)]).toEqual([
      { stream: 1, text: 'out' },
      { stream: 2, text: 'err' }
    ]);
  });

  it('shows of a line that overwrites itself what a terminal would show', () => {
    const buffer = new LogBuffer();
    buffer.push(1, '10 %\r50 %\r100 %\nwindows\r\n');
    expect(texts(buffer)).toEqual(['100 %', 'windows']);
  });

  it('keeps only the last lines, and says how many are gone', () => {
    const buffer = new LogBuffer(3);
    buffer.push(1, '1\n2\n3\n4\n5\n');
    expect(texts(buffer)).toEqual(['3', '4', '5']);
    expect(buffer.dropped).toBe(2);
    buffer.push(1, '6');
    expect(texts(buffer)).toEqual(['3', '4', '5', '6']);
  });

  it('finds text whatever its case', () => {
    const buffer = new LogBuffer();
    buffer.push(1, 'An Error\nfine\nERROR\n');
    expect(buffer.find('error')).toEqual([0, 2]);
    expect(buffer.find('')).toEqual([]);
  });

  it('takes 50 MB in pieces, and a line of 50 MB, in bounded memory and time', () => {
    const buffer = new LogBuffer(1000);
    const chunk = ('x'.repeat(99) + '\n').repeat(640);
    const started = performance.now();
    for (let sent = 0; sent < 50e6; sent += chunk.length) {
      buffer.push(1, chunk);
    }
    for (let sent = 0; sent < 50e6; sent += 64_000) {
      buffer.push(2, 'y'.repeat(64_000));
    }
    expect(buffer.length).toBeLessThanOrEqual(1001);
    expect(performance.now() - started).toBeLessThan(30_000);
  });
});

describe('spans', () => {
  it('keeps colours and leaves every other sequence out', () => {
    expect(spans('\x1b[1;31mred\x1b[0m plain\x1b[2K\x1b]0;title\x07\x1b[?25l!')).toEqual([
      { text: 'red', classes: 'jp-Bacalhau-ansi-red jp-Bacalhau-ansi-bold' },
      { text: ' plain', classes: '' },
      { text: '!', classes: '' }
    ]);
    expect(plain('\x1b[38;5;196mx\x1b[0m\x1b[')).toBe('x');
  });

  it('lets neither control characters nor changes of direction through', () => {
    expect(spans('a\x00\x08b\u202ec')).toEqual([{ text: 'abc', classes: '' }]);
  });

  it('reads a line of nothing but escapes in no time', () => {
    const started = performance.now();
    spans('\x1b]'.repeat(2048));
    spans('\x1b[1'.repeat(2048));
    expect(performance.now() - started).toBeLessThan(30_000);
  });
});

describe('DisplayFilter', () => {
  const log = 'a\x1b_bacalhau;hello;00\x1b\\b\x1b_bacalhau;00;1.0;2;eyJ9\x1b\\1\n\x1b[31mred\x1b[0m end';

  it('leaves the plain text of displays, wherever the chunks are cut', () => {
    for (let size = 1; size <= log.length; size++) {
      const filter = new DisplayFilter();
      let text = '';
      for (let start = 0; start < log.length; start += size) {
        text += filter.feed(log.slice(start, start + size));
      }
      expect(text).toBe('ab1\n\x1b[31mred\x1b[0m end');
    }
  });

  it('keeps what only begins like a display', () => {
    const filter = new DisplayFilter();
    const text = '\x1b_bacalhau;' + 'x'.repeat(5000);
    expect(filter.feed(text) + filter.feed('y')).toBe(text + 'y');
  });
});

describe('LogStream', () => {
  it('reads again from the beginning after a break, and is complete only with code 1000', () => {
    jest.useFakeTimers();
    const transport = new FakeTransport();
    const buffer = new LogBuffer();
    const stream = new LogStream(transport, 'j/1', buffer, () => undefined);
    stream.open();
    expect(transport.last.path).toBe('api/v1/orchestrator/jobs/j%2F1/logs');
    transport.last.open();
    transport.last.send({ value: { Type: 1, Line: 'one\n' } });
    transport.last.end(1011);
    expect(stream.state).toBe('waiting');
    jest.runOnlyPendingTimers();
    transport.last.open();
    expect(texts(buffer)).toEqual(['one']);
    transport.last.send({ value: { Type: 1, Line: 'one\n' } });
    transport.last.send({ value: { Type: 2, Line: 'two\n' } });
    transport.last.end(1000);
    expect(texts(buffer)).toEqual(['one', 'two']);
    expect(stream.state).toBe('complete');
    jest.useRealTimers();
  });
});
