"""Time and memory over the number of tokens, anchor attention beside other attentions."""
