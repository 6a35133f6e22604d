package main

func (b *bare) clock() {}
