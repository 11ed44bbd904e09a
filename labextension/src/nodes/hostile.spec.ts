import { INodeState } from '../api/types';
import { engines, matches, meters, nodeName, sorted } from './nodes';
import { trans } from '../page/words';

const named = (NodeID: string, more: object = {}): INodeState => ({ Info: { NodeID, ...more } });

describe('a node that calls things as it likes', () => {
  it.each(['constructor', '__proto__', 'toString'])('has an engine %s without a runtime', name =>
    expect(
      engines({ NodeID: 'n', ComputeNodeInfo: { ExecutionEngines: [name], EngineRuntimes: { docker: '1' } } })
    ).toEqual([{ name, runtime: '', problem: '' }])
  );

  it('shows a label that is not text, and names it all the same', () => {
    expect(nodeName(named('n', { Labels: { name: 7 } }))).toBe('7');
    expect(nodeName(named('n', { Labels: { name: { toString: 1 } } }))).toBe('{"toString":1}');
  });

  it.each([{ CPU: NaN }, { CPU: -1 }, { CPU: null }, { Memory: Infinity }])(
    'has meters that can be drawn: %j',
    MaxCapacity => {
      for (const meter of meters(
        { NodeID: 'n', ComputeNodeInfo: { MaxCapacity } } as INodeState['Info'],
        trans
      )) {
        expect(meter.text).not.toMatch(/NaN|undefined/);
      }
    }
  );

  it('keeps its place, whatever the order in which nodes come', () => {
    const nodes = ['ü', 'b', 'a', 'A', '__proto__', '10', '9'].map(id =>
      named(id, { Labels: { name: 'same' } })
    );
    const expected = sorted(nodes).map(node => node.Info.NodeID);
    expect(sorted([...nodes].reverse()).map(node => node.Info.NodeID)).toEqual(expected);
  });

  it('is found by text, not by a pattern', () => {
    expect(matches(named('a.b'), '.*')).toBe(false);
    expect(matches(named('a.b'), '  A.B  ')).toBe(true);
    expect(matches(named('a'), 'undefined')).toBe(false);
  });
});
