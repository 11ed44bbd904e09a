import { keyInList, keyInTabs } from './keys';
import { rowsInView, scrolledTo } from './window';

describe('keys in a list', () => {
  it('never lead out of it', () => {
    for (const count of [1, 2, 7]) {
      for (let active = -1; active < count; active++) {
        for (const key of ['ArrowDown', 'ArrowUp', 'PageDown', 'PageUp', 'Home', 'End']) {
          const position = keyInList(key, active, count, 3) ?? -1;
          expect(position >= 0 && position < count).toBe(true);
        }
      }
    }
  });

  it.each([
    ['ArrowDown', 5],
    ['ArrowUp', 3],
    ['PageDown', 9],
    ['PageUp', 0],
    ['Home', 0],
    ['End', 9]
  ])('%s leads from row 4 of 10 to row %d', (key, row) => expect(keyInList(key, 4, 10, 5)).toBe(row));

  it.each(['a', 'Enter', '__proto__', 'constructor', ''])('%j leads nowhere', key => {
    expect(keyInList(key, 0, 9, 3)).toBeNull();
    expect(keyInTabs(key, 0, 9)).toBeNull();
  });

  it('lead nowhere where there is no row', () => {
    expect(keyInList('End', -1, 0, 5)).toBeNull();
    expect(keyInTabs('End', -1, 0)).toBeNull();
  });
});

describe('keys in tabs', () => {
  it('go round, and stay among the tabs even where none is chosen', () => {
    for (const count of [1, 2, 5]) {
      for (let active = -1; active < count; active++) {
        for (const key of ['ArrowRight', 'ArrowLeft', 'Home', 'End']) {
          expect(Array.from({ length: count }, (_, at) => at)).toContainEqual(keyInTabs(key, active, count));
        }
      }
    }
    expect([keyInTabs('ArrowRight', 4, 5), keyInTabs('ArrowLeft', 0, 5)]).toEqual([0, 4]);
  });
});

describe('the rows that are drawn', () => {
  it('hold all that are in view, and stay as few however long the list is', () => {
    for (const firstRow of [0, 1, 500, 999_990]) {
      const { first, last } = rowsInView(firstRow, 1_000_000, 400, 17);
      expect(first).toBeLessThanOrEqual(firstRow);
      expect(last).toBeGreaterThanOrEqual(Math.min(1_000_000, firstRow + Math.ceil(400 / 17)));
      expect(last - first).toBeLessThan(50);
      expect(last).toBeLessThanOrEqual(1_000_000);
    }
  });

  it('are none of an empty list', () => expect(rowsInView(0, 0, 400, 17)).toEqual({ first: 0, last: 0 }));
});

describe('bringing a row into view', () => {
  it('shows it whole, and does not move what shows it already', () => {
    for (const top of [0, 5, 100, 1000]) {
      for (let index = 0; index < 100; index++) {
        const position = scrolledTo(index, 20, top, 200);
        expect(position <= index * 20 && (index + 1) * 20 <= position + 200).toBe(true);
        if (index * 20 >= top && (index + 1) * 20 <= top + 200) {
          expect(position).toBe(top);
        }
      }
    }
  });
});
