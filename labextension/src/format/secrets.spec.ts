import { HIDDEN, looksSecret, maskedValue } from './secrets';

/** The rule is written twice; these names hold both to it. */
const names = jest.requireActual<{ secret: string[]; ordinary: string[] }>(
  '../../../tests/data/secret_names.json'
);

describe('variables', () => {
  it.each(names.secret)('hides the value of %s', name => {
    expect(looksSecret(name)).toBe(true);
    expect(maskedValue(name, 'hunter2')).toBe(HIDDEN);
  });

  it.each(names.ordinary)('shows the value of %s', name => {
    expect(maskedValue(name, 'hunter2')).toBe('hunter2');
  });

  it('shows no password of an address, but the name of a variable of the node', () => {
    expect(maskedValue('DATABASE', 'postgres://me:hunter2@db/x')).toBe('postgres://***@db/x');
    expect(maskedValue('API_TOKEN', 'env:API_TOKEN')).toBe('env:API_TOKEN');
    expect(maskedValue('API_TOKEN', '')).toBe('');
  });
});
