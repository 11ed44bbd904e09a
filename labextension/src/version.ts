/** The version of this package; a test sees to it that package.json and the Python half say the same. */
export const VERSION = '0.1.0-dev.0';
