/* SPDX-License-Identifier: Apache-2.0 */

/* short: a program that does nothing, to be linked statically. */
int main(void)
{
	return 0;
}
