"""A local ConWP: the documented contract, a page that shows the chats, faults on demand."""
