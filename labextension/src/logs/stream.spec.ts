import { FakeTransport } from '../testing/transport';
import { LogBuffer } from './buffer';
import { LogStream } from './stream';

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

function follow(execution = ''): {
  transport: FakeTransport;
  buffer: LogBuffer;
  stream: LogStream;
  changes: () => number;
} {
  const transport = new FakeTransport();
  const buffer = new LogBuffer();
  let changes = 0;
  const stream = new LogStream(transport, 'j/1', buffer, () => (changes += 1), execution);
  stream.open();
  return { transport, buffer, stream, changes: () => changes };
}

const texts = (buffer: LogBuffer): (string | undefined)[] =>
  Array.from({ length: buffer.length }, (_, at) => buffer.at(at)?.text);

describe('a log stream', () => {
  it('asks for the output of one execution where one is named', () => {
    expect(follow().transport.last).toMatchObject({
      path: 'api/v1/orchestrator/jobs/j%2F1/logs',
      query: { follow: true, execution_id: '' }
    });
    expect(follow('e-1').transport.last.query.execution_id).toBe('e-1');
  });

  it.each([
    'null',
    '7',
    '"x"',
    '[]',
    '{',
    '',
    '{}',
    '{"value":null}',
    '{"value":{"Line":7}}',
    '{"value":{"Line":["x"]}}'
  ])('survives the frame %s', frame => {
    const { transport, buffer } = follow();
    transport.last.open();
    transport.last.send(frame);
    transport.last.send({ value: { Line: 'next\n' } });
    expect(texts(buffer)).toEqual(['next']);
  });

  it('tells errors in between, as neither stdout nor stderr', () => {
    const { transport, buffer } = follow();
    transport.last.send({ error: 'no such execution' });
    expect(buffer.at(0)).toEqual({ stream: 0, text: 'no such execution' });
  });

  it('keeps what was read on screen until the first line comes again', () => {
    const { transport, buffer, stream } = follow();
    transport.last.open();
    transport.last.send({ value: { Type: 1, Line: 'one\n' } });
    transport.last.end(1006);
    expect([stream.state, texts(buffer)]).toEqual(['waiting', ['one']]);
    jest.runOnlyPendingTimers();
    transport.last.open();
    expect(texts(buffer)).toEqual(['one']);
    transport.last.send({ value: { Type: 1, Line: 'one\ntwo\n' } });
    expect(texts(buffer)).toEqual(['one', 'two']);
  });

  it('does not come back once it was closed', () => {
    const { transport, stream, changes } = follow();
    const socket = transport.last;
    stream.close();
    const before = changes();
    socket.open();
    socket.send({ value: { Line: 'late\n' } });
    socket.end(1006);
    jest.runOnlyPendingTimers();
    expect([stream.state, socket.closed, transport.sockets.length, changes()]).toEqual([
      'closed',
      true,
      1,
      before
    ]);
  });

  it('that waits for its next attempt is closed for good, too', () => {
    const { transport, stream } = follow();
    transport.last.end(1013);
    stream.close();
    jest.runOnlyPendingTimers();
    expect([transport.sockets.length, jest.getTimerCount()]).toEqual([1, 0]);
  });
});
