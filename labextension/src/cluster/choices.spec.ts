import { IConnection, IConnections } from '../api/connections';
import { choices, removable } from './choices';

const list = (current: string, ...connections: IConnection[]): IConnections => ({
  current,
  fixed_by: '',
  connections
});

describe('the clusters to choose from', () => {
  it('are this machine and what can be used', () =>
    expect(choices(list('', { name: 'a' }, { name: 'b', problem: 'no address' }), 'This machine')).toEqual([
      { name: '', label: 'This machine' },
      { name: 'a', label: 'a' }
    ]));

  it('have labels of their own, also where a connection is called like this machine', () => {
    const options = choices(list('', { name: 'Here' }, { name: 'Here *' }, { name: '__proto__' }), 'Here');
    expect(new Set(options.map(choice => choice.label)).size).toBe(4);
    expect(options.find(choice => choice.label === 'Here')?.name).toBe('Here');
    expect(options[0]?.name).toBe('');
  });
});

describe('the connections that can be removed', () => {
  it('are all but the one in use, broken ones too', () =>
    expect(removable(list('a', { name: 'a' }, { name: 'b', problem: 'x' }))).toEqual(['b']));

  it('are none before the list was read', () => expect(removable(null)).toEqual([]));
});
