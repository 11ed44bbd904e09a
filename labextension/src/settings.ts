/** What people set; see `schema/plugin.json`. */
export interface ISettings {
  readonly notifyWhenDone: boolean;
  readonly showInStatusBar: boolean;
  readonly logLines: number;
}

export const DEFAULT_SETTINGS: ISettings = { notifyWhenDone: true, showInStatusBar: true, logLines: 50000 };

/** Read what people set; what is missing, or of the wrong type, is as if nobody had set it. */
export function readSettings(composite: unknown): ISettings {
  const plain = new Map<string, unknown>(
    typeof composite === 'object' && composite !== null ? Object.entries(composite) : []
  );
  const flag = (name: 'notifyWhenDone' | 'showInStatusBar'): boolean => {
    const value = plain.get(name);
    return typeof value === 'boolean' ? value : DEFAULT_SETTINGS[name];
  };
  const lines = plain.get('logLines');
  return {
    notifyWhenDone: flag('notifyWhenDone'),
    showInStatusBar: flag('showInStatusBar'),
    logLines: typeof lines === 'number' && lines >= 1 ? Math.floor(lines) : DEFAULT_SETTINGS.logLines
  };
}
