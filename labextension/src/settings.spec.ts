import { DEFAULT_SETTINGS, readSettings } from './settings';

describe('readSettings', () => {
  it.each([null, undefined, 7, 'x', [], {}, { notifyWhenDone: 'yes', showInStatusBar: 0, logLines: '9' }])(
    'takes %j as if nobody had set anything',
    composite => expect(readSettings(composite)).toEqual(DEFAULT_SETTINGS)
  );

  it('takes what people set', () =>
    expect(readSettings({ notifyWhenDone: false, showInStatusBar: false, logLines: 1000.9 })).toEqual({
      notifyWhenDone: false,
      showInStatusBar: false,
      logLines: 1000
    }));

  it.each([0, -5, NaN, null])('keeps no log of %p lines', logLines =>
    expect(readSettings({ logLines }).logLines).toBe(DEFAULT_SETTINGS.logLines)
  );

  it('takes over nothing else', () =>
    expect(readSettings(JSON.parse('{"__proto__":{"logLines":1},"other":1}'))).toEqual(DEFAULT_SETTINGS));
});
