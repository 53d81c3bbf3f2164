function htmlEncode(text) { return Ext.util.Format.htmlEncode(text); }
