// What browsers have and jsdom lacks, as far as JupyterLab's packages touch it when they are loaded.
globalThis.DragEvent ??= class DragEvent extends Event {};
globalThis.ResizeObserver ??= class ResizeObserver {
  observe() {}
  unobserve() {}
  disconnect() {}
};
window.matchMedia ??= () => ({ matches: false, addEventListener() {}, removeEventListener() {} });
const { TextDecoder, TextEncoder } = require('util');
globalThis.TextDecoder ??= TextDecoder;
globalThis.TextEncoder ??= TextEncoder;
globalThis.DecompressionStream ??= require('stream/web').DecompressionStream;
